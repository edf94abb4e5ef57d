"""The commands of the README, ready to be run."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def curl_commands(url: str) -> str:
    """The quickstart's two curl blocks as one script against `url`, to be run from anywhere."""
    blocks = [text for text in re.findall(r"```bash\n(.*?)```", README, re.S) if "curl" in text]
    assert len(blocks) == 2
    script = "\n".join(blocks).replace("localhost:8000", url.removeprefix("http://"))
    return script.replace("@examples", f"@{ROOT}/examples")


def predicted_grams(output: str) -> float:
    """The last number of the CSV table that the script printed, whatever its line ends."""
    table = output.replace("\r", "").split("prediction\n", 1)
    assert len(table) == 2, output
    return float(table[1].splitlines()[-1])
