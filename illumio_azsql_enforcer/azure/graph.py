"""Azure Resource Graph: one question about hundreds of subscriptions instead of a list of each.

It is asked one thing: which subscriptions hold a logical server. What a server is, ARM itself says, because Resource
Graph is seconds to minutes behind, and leaves out without a word what the identity cannot see. Firewall rules are not
in it at all.
"""

from collections.abc import Iterator, Sequence

import msgspec

from illumio_azsql_enforcer.azure.access import AzureAccess
from illumio_azsql_enforcer.azure.failures import Operation, invalid
from illumio_azsql_enforcer.azure.pages import MOST_PAGES, decoded
from illumio_azsql_enforcer.azure.pipeline import GRAPH
from illumio_azsql_enforcer.retrying import Deadline

API_VERSION = "2022-10-01"
MOST_SUBSCRIPTIONS = 300  # in one question; what the guide to throttled requests recommends
PAGE = 1000  # rows; the most that one answer can hold
QUESTION = "resources | where type =~ 'microsoft.sql/servers' | distinct subscriptionId"
OPERATION = Operation("ask Resource Graph for SQL servers", "Microsoft.Sql/servers/read", "/")


class _Row(msgspec.Struct, rename="camel"):
    subscription_id: str


class _Rows(msgspec.Struct, rename="camel"):
    data: list[_Row]
    result_truncated: str = "false"
    skip_token: str | None = msgspec.field(name="$skipToken", default=None)


_ROWS = msgspec.json.Decoder(_Rows)


def subscriptions_with_servers(access: AzureAccess, subscriptions: Sequence[str], deadline: Deadline) -> set[str]:
    """Those of the subscriptions (ids in lower case) that hold a logical server, as far as Resource Graph knows.

    Raises ArmError; ArmInvalidAnswer when an answer is cut.
    """
    groups = (subscriptions[at : at + MOST_SUBSCRIPTIONS] for at in range(0, len(subscriptions), MOST_SUBSCRIPTIONS))
    return {row.subscription_id.lower() for group in groups for row in _rows(access, group, deadline)}


def _rows(access: AzureAccess, subscriptions: Sequence[str], deadline: Deadline) -> Iterator[_Row]:
    token: str | None = None
    for _ in range(MOST_PAGES):
        options = {"$top": PAGE, "resultFormat": "objectArray"} | ({"$skipToken": token} if token else {})
        question = {"subscriptions": subscriptions, "query": QUESTION, "options": options}
        answer = access.query(f"{GRAPH}?api-version={API_VERSION}", question, OPERATION, deadline)
        page = decoded(answer, _ROWS, OPERATION)
        yield from page.data
        token = page.skip_token
        if not token:
            break
    if token or page.result_truncated.lower() != "false":
        raise invalid(OPERATION, "it is cut, and the rest cannot be asked for", answer)
