"""One way into Azure Resource Manager: one identity, one pool of connections, a client for each subscription."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec
from azure.core import AzureClouds
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.rest import HttpRequest, HttpResponse
from azure.mgmt.core import ARMPipelineClient

from illumio_azsql_enforcer.azure.credentials import credential_opener
from illumio_azsql_enforcer.azure.failures import Answer, Operation, failure, invalid, judge, unreachable
from illumio_azsql_enforcer.azure.pacing import Pace
from illumio_azsql_enforcer.azure.pages import Page, all_pages, items_of
from illumio_azsql_enforcer.azure.paths import checked_subscription
from illumio_azsql_enforcer.azure.pipeline import Requests, origin, policies
from illumio_azsql_enforcer.azure.tokens import TokenSource
from illumio_azsql_enforcer.azure.transport import AnswerTooLarge, BoundedTransport
from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.connections import is_loopback
from illumio_azsql_enforcer.errors import ArmError, ArmForbidden, ArmUnreachable, ConfigError
from illumio_azsql_enforcer.model.settings import AzureSettings
from illumio_azsql_enforcer.retrying import Deadline, with_retries
from illumio_azsql_enforcer.text import printable

if TYPE_CHECKING:
    from azure.mgmt.sql import SqlManagementClient

API_VERSION = "2025-01-01"  # of Microsoft.Sql; the one that azure-mgmt-sql 4.0 is made for
SUBSCRIPTIONS_API_VERSION = "2022-12-01"
LIST_SUBSCRIPTIONS = Operation("list the subscriptions", "Microsoft.Resources/subscriptions/read", "/")
WRITING = ("PUT", "DELETE")
QUIET_LOGGERS = ("azure", "msal", "urllib3")

T = TypeVar("T")


class Subscription(msgspec.Struct, rename="camel"):
    """An item of `GET /subscriptions`."""

    subscription_id: str
    state: str = "Enabled"


@dataclass(slots=True)
class Holdings:
    """What earlier discoveries showed of the subscriptions (ids in lower case). Losing it costs requests, no more."""

    listed_at: float = float("-inf")  # monotonic seconds, when all of them were listed
    hold: set[str] = field(default_factory=set)  # that hold servers
    failed: set[str] = field(default_factory=set)  # that could not be listed the last time


_SUBSCRIPTIONS = msgspec.json.Decoder(Page[Subscription])


class AzureAccess:
    """Makes every request to Azure Resource Manager. Thread-safe. Raises ConfigError when no credential can be made.

    A request is tried again as `failures.judge` says, within its deadline; azure-core's own retries are off.
    """

    def __init__(self, settings: AzureSettings, clock: Clock, beat: Callable[[], None] = lambda: None) -> None:
        """`beat` is called when a request was answered, or was given up; from several threads."""
        self.settings = settings
        self.clock = clock
        self._base = _checked_base(settings.cloud.resource_manager)
        self._tokens = TokenSource(credential_opener(settings), settings.cloud.audience.rstrip("/") + "/.default")
        self._pace = Pace(clock)
        self._requests = Requests(beat)
        self._transport = BoundedTransport(self._base, settings, clock)
        self._reader: ARMPipelineClient[HttpRequest, HttpResponse] = ARMPipelineClient(
            self._base, policies=self._policies(), transport=self._transport
        )
        self.holdings = Holdings()
        # Kept from cycle to cycle: a thread that spoke TLS leaves some memory behind when it ends.
        self.threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="azure")
        self._clients: dict[str, SqlManagementClient] = {}
        self._lock = threading.Lock()
        _keep_quiet()

    @property
    def reads(self) -> int:
        """Requests sent that change nothing, retries included, requests for tokens not."""
        return sum(n for (method, _), n in self.requests.items() if method not in WRITING)

    @property
    def writes(self) -> int:
        """Requests sent to put or delete a rule, retries included."""
        return sum(n for (method, _), n in self.requests.items() if method in WRITING)

    @property
    def requests(self) -> dict[tuple[str, str], int]:
        """Requests sent, by method and status code (`none`: no answer)."""
        return self._requests.counts()

    def client(self, subscription_id: str) -> "SqlManagementClient":
        """The SDK's client for a subscription, which can write. Raises UnsafeName unless that is a GUID."""
        key = checked_subscription(subscription_id)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._new_client(key)
            return self._clients[key]

    def subscriptions(self, deadline: Deadline) -> tuple[str, ...]:
        """The subscriptions of the settings, else all that the identity sees. Raises ArmError, also for none at all."""
        if self.settings.subscriptions is not None:
            return self.settings.subscriptions
        seen = self.visible(deadline)
        if not seen:
            raise ArmForbidden(
                "Cannot list the subscriptions: this identity sees none; assign it a role in each one to work on."
            )
        return seen

    def visible(self, deadline: Deadline) -> tuple[str, ...]:
        """The subscriptions that the identity sees, in lower case, sorted. Raises ArmError."""
        path = f"/subscriptions?api-version={SUBSCRIPTIONS_API_VERSION}"
        listed = self.read(path, _SUBSCRIPTIONS, LIST_SUBSCRIPTIONS, deadline)
        return tuple(sorted({s.subscription_id.lower() for s in listed if s.state != "Deleted"}))

    def read(self, path: str, page: msgspec.json.Decoder[Page[T]], operation: Operation, deadline: Deadline) -> list[T]:
        """Every item of the list at `path` (with query), all pages. Raises ArmError.

        Goes through a pipeline of the SDK, but not through its models: those take three times as long to decode.
        """
        return items_of(self.pages(path, operation, deadline), page, operation)

    def pages(self, path: str, operation: Operation, deadline: Deadline) -> list[Answer]:
        """Every page of the list at `path` (with query), as it came. Raises ArmError."""

        def get(url: str) -> Answer:
            return self._ask(partial(HttpRequest, "GET", url), operation, deadline)

        return all_pages(get, self._base + path, operation)

    def query(self, path: str, question: object, operation: Operation, deadline: Deadline) -> Answer:
        """The answer to a POST of a question (JSON) that the gate in `pipeline` lets through. Raises ArmError."""
        return self._ask(partial(HttpRequest, "POST", self._base + path, json=question), operation, deadline)

    def _ask(self, request: Callable[[], HttpRequest], operation: Operation, deadline: Deadline) -> Answer:
        return self.carry_out(operation, deadline, lambda **times: _ok(self._reader.send_request(request(), **times)))

    def carry_out(self, operation: Operation, deadline: Deadline, send: Callable[..., T]) -> T:
        """What `send` brings, tried again as the deadline allows. Raises ArmError.

        `send` takes `connection_timeout` and `read_timeout` (seconds), and raises what the SDK raises.
        """
        return with_retries(lambda: self._once(operation, deadline, send), deadline=deadline, judge=judge)

    def close(self) -> None:
        """End all connections, and wait for what is under way in `threads`."""
        self.threads.shutdown()
        self._transport.close()
        self._tokens.close()

    def _once(self, operation: Operation, deadline: Deadline, send: Callable[..., T]) -> T:
        timeout = min(self.settings.timeout, deadline.remaining)
        if timeout <= 0:
            raise ArmUnreachable(f"Cannot {operation.doing}: no time is left for it in this cycle.")
        try:
            return send(connection_timeout=timeout, read_timeout=timeout)
        except HttpResponseError as error:
            raise _refused(operation, error) from error
        except AnswerTooLarge as error:
            raise invalid(operation, str(error)) from error
        except AzureError as error:
            raise unreachable(operation, error) from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:  # the SDK's, for a body that is none
            raise invalid(
                operation, f"it is empty, or not the JSON that was expected ({type(error).__name__})"
            ) from error

    def _policies(self) -> list[object]:
        return policies(self._base, self._tokens, self._pace, self._requests)

    def _new_client(self, subscription_id: str) -> "SqlManagementClient":
        from azure.mgmt.sql import SqlManagementClient  # noqa: PLC0415 - large; only what writes needs it

        return SqlManagementClient(
            cast("TokenCredential", self._tokens),  # not used: the policies bring the token
            subscription_id,
            base_url=self._base,
            cloud_setting=AzureClouds.AZURE_PUBLIC_CLOUD,  # not from the environment; all that it sets is given here
            credential_scopes=[],
            api_version=API_VERSION,
            policies=self._policies(),
            transport=self._transport,
        )


def answered(response: HttpResponse) -> Answer:
    """An answer of the SDK, as ours."""
    return Answer(response.status_code, response.headers, response.content)


def _ok(response: HttpResponse) -> Answer:
    """An answer with status 200; else raises what the SDK's own operations raise."""
    if response.status_code != 200:
        raise HttpResponseError(response=response)
    return answered(response)


def _refused(operation: Operation, error: HttpResponseError) -> ArmError:
    if error.response is None:  # the body broke off
        return unreachable(operation, error)
    return failure(operation, answered(cast("HttpResponse", error.response)))


def _checked_base(resource_manager: str) -> str:
    """The resource manager without a slash at the end. Raises ConfigError unless a token is safe with it."""
    base = resource_manager.rstrip("/")
    try:
        scheme, host, _ = origin(base)
    except ValueError:
        scheme, host = "", ""
    if scheme == "https" or (scheme == "http" and is_loopback(host)):
        return base
    raise ConfigError(f"azure.cloud.resource_manager: {printable(base, 200)} is not an https address.")


def _keep_quiet() -> None:
    """Without a handler, Python prints a library's warnings to the user; those may quote a token service's answer."""
    for name in QUIET_LOGGERS:
        logging.getLogger(name).addHandler(logging.NullHandler())
    logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
