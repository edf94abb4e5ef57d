"""The client: the calls about datasets, models and jobs in one class."""

from luthier.client._async.jobs import AsyncJobCalls


class AsyncClient(AsyncJobCalls):
    """A client of one Luthier service.

    Every method raises RequestRefused, or the class below it for the status, if the service answers
    with an error. `url` defaults to the environment variable LUTHIER_URL, then to this machine;
    `api_key` to LUTHIER_API_KEY. A request whose connection breaks is sent twice more, which does
    not start a second job.
    """
