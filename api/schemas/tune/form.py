"""A tuning request as a form: the file of its dataset, and the fields of the request."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import marshmallow as ma
from werkzeug.datastructures import FileStorage

from api.schemas.reading import FileField, OptionsField, TypesField
from models.data.table import ReadOptions
from models.errors import Invalid
from models.fields import MODEL_NAME, described
from models.jobs.schema.spec import JobSpecSchema
from models.jobs.spec import JobSpec

_REQUIRED = str(ma.fields.Field.default_error_messages["required"])
_PACKED = {".gz", ".bz2", ".xz", ".zst", ".zip"}


@dataclass(frozen=True, slots=True)
class TuneForm:
    """A tuning request whose dataset is a file that came with it."""

    file: FileStorage
    types: Mapping[str, str]
    options: ReadOptions
    spec: JobSpec  # its `dataset` is empty until the file is stored


class TuneFormSchema(JobSpecSchema):
    """A tuning job to start, and the file to learn from. `file` and `target` are required.

    The other fields are those of the JSON request: plain text, or JSON for what is no text.
    """

    file = FileField(
        required=True, metadata=described("The table, in any format of `POST /datasets`.")
    )
    types = TypesField(load_default=dict)
    options = OptionsField()
    request = ma.fields.Dict(
        metadata=described(
            "Fields of the request as one JSON object, in place of fields of the form.",
            example={"target": "price", "budget": {"max_trials": 10}},
        )
    )
    model = ma.fields.String(
        load_default=None,
        allow_none=False,
        validate=MODEL_NAME,
        metadata=described("Default: the file's name without its ending, else the target."),
    )

    class Meta:
        """The file is the dataset."""

        exclude = ("dataset",)

    @ma.validates_schema(skip_on_field_errors=False, pass_original=True)
    def _check_source(self, data: Any, original: Any, **_: Any) -> None:
        if "target" not in original and original.get("narrow_from") is None:
            raise ma.ValidationError({"target": [_REQUIRED]})

    @ma.post_load(pass_original=True)
    def _make(self, data: dict[str, Any], original: Mapping[str, Any], **_: Any) -> TuneForm:
        file, types, options = (data.pop(name) for name in ("file", "types", "options"))
        model = data["model"] or default_model(file.filename, data["target"])
        spec = super()._make(data | {"model": model, "dataset": ""}, original)
        return TuneForm(file, types, options, replace(spec, named=spec.named | {"dataset"}))


def load_form(values: Mapping[str, Any]) -> TuneForm:
    """Load the values of a form; raises Invalid or ValidationError at the fields in question."""
    values = dict(values)
    inner = values.pop("request", {})
    if not isinstance(inner, dict):
        raise Invalid.at("request", "Must be a JSON object.")
    if twice := values.keys() & inner.keys():
        text = "It is given twice: in the form, and in `request`."
        raise Invalid({name: [text] for name in sorted(twice)})
    values |= inner
    if "request" in inner:
        raise Invalid.at("request", "It cannot hold itself.")
    if "dataset" in values:
        refused = {"dataset": ["The file is the dataset; leave this out."]}
        raise Invalid(refused | ({} if "file" in values else {"file": [_REQUIRED]}))
    form: TuneForm = TuneFormSchema().load(values)
    return form


def default_model(filename: str | None, target: str | None) -> str:
    """Return a model's name made of the file's name, else of the target, else `model`."""
    path = PurePath(filename or "")
    stem = PurePath(path.stem).stem if path.suffix.lower() in _PACKED else path.stem
    for text in (stem, target or ""):
        # "Häuser 2024" becomes "Hauser-2024".
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
        name = re.sub(r"[^A-Za-z0-9._]+", "-", plain).strip("-._")[:100]
        if name:
            return name
    return "model"
