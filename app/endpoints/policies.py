"""What may be said of an endpoint from its row alone. Nothing here asks the database."""

from enum import StrEnum

from app.tables import Endpoint, Rung

OPENS_AFTER = 10  # failures in a row until nobody calls for a while
FIRST_PAUSE = 10.0  # seconds, doubling
LONGEST_PAUSE = 600.0

RUNGS = {
    Rung.JSON_SCHEMA: "The server holds answers to the schema",
    Rung.JSON_OBJECT: "The server makes JSON; the schema stands in the prompt",
    Rung.PROMPT: "The prompt alone asks for JSON",
}


class EndpointState(StrEnum):
    RETIRED = "retired"
    DOWN = "down"
    UNTESTED = "untested"
    SILENT = "silent"  # it did not answer its last call, be it a test
    UNFIT = "unfit"  # it did, but never as asked
    ANSWERS = "answers"


def state(endpoint: Endpoint) -> EndpointState:
    if endpoint.retired:
        return EndpointState.RETIRED
    if endpoint.failures >= OPENS_AFTER:
        return EndpointState.DOWN
    if endpoint.failures:
        return EndpointState.SILENT
    if endpoint.rung and endpoint.test:
        return EndpointState.ANSWERS
    return EndpointState.UNFIT if endpoint.test.get("answers") else EndpointState.UNTESTED


def cost(endpoint: Endpoint, tokens_in: int, tokens_out: int) -> float:
    """What so many tokens cost, in the currency of the endpoint's prices."""
    return (tokens_in * endpoint.price_in + tokens_out * endpoint.price_out) / 1e6
