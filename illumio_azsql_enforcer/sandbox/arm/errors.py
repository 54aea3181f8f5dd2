"""The refusals of Azure Resource Manager and of its Microsoft.Sql resource provider, with their texts.

The gateway's own carry `x-ms-failure-cause: gateway`; the resource provider's do not.
"""

from collections.abc import Mapping, Sequence

from illumio_azsql_enforcer.sandbox.wire import Reply

GATEWAY = {"x-ms-failure-cause": "gateway"}
PUBLIC_ACCESS_DISABLED = (
    "Unable to create or modify firewall rules when public network interface for the server is disabled. "
    "To manage server or database level firewall rules, please enable the public network interface."
)
INTERNAL_ERROR = "An unexpected error occured while processing the request. Tracking ID: '{tracking}'"  # sic


def error_reply(
    status: int,
    code: str,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Reply:
    """An answer in ARM's error envelope; `more` goes beside code and message (`details`, `additionalInfo`)."""
    return Reply.json(status, {"error": {"code": code, "message": message, **(more or {})}}, headers)


class Refusal(Exception):
    """A request that is not carried out; `reply` is the answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body.decode())
        self.reply = reply


def by_gateway(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: object
) -> Refusal:
    """ARM's front door refuses."""
    return Refusal(error_reply(status, code, message, headers={**GATEWAY, **(headers or {})}, more=more))


def by_provider(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """Microsoft.Sql refuses."""
    return Refusal(error_reply(status, code, message, headers=headers))


# --- the front door


def unauthenticated(code: str, message: str, tenant: str, *, error: str = "invalid_token", claims: str = "") -> Refusal:
    """401 with the challenge that tells the client why; `claims` (base64) asks for a new token."""
    challenge = (
        f'Bearer authorization_uri="https://login.windows.net/{tenant}", error="{error}", error_description="{message}"'
    )
    if claims:
        challenge += f', claims="{claims}"'
    return by_gateway(401, code, message, {"WWW-Authenticate": challenge})


def version_missing() -> Refusal:
    return by_gateway(
        400,
        "MissingApiVersionParameter",
        "The api-version query parameter (?api-version=) is required for all requests.",
    )


def version_malformed(version: str, supported: Sequence[str]) -> Refusal:
    listed = ",".join(supported)
    message = f"The api-version '{version}' is invalid. The supported versions are '{listed}'."
    return by_gateway(400, "InvalidApiVersionParameter", message)


def version_unknown(kind: str, version: str, supported: Sequence[str], location: str, status: int) -> Refusal:
    message = (
        f"No registered resource provider found for location '{location}' and API version '{version}' "
        f"for type '{kind}'. "
        f"The supported api-versions are '{', '.join(supported)}'. The supported locations are '{location}'."
    )
    return by_gateway(status, "NoRegisteredProviderFound", message)


def subscription_malformed(subscription: str) -> Refusal:
    return by_gateway(
        400, "InvalidSubscriptionId", f"The provided subscription identifier '{subscription}' is malformed or invalid."
    )


def subscription_unknown(subscription: str) -> Refusal:
    return by_gateway(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")


def not_registered() -> Refusal:
    message = (
        "The subscription is not registered to use namespace 'Microsoft.Sql'. "
        "See https://aka.ms/rps-not-found for how to register subscriptions."
    )
    return by_gateway(409, "MissingSubscriptionRegistration", message)


def not_authorized(client: str, object_id: str, action: str, scope: str) -> Refusal:
    message = (
        f"The client '{client}' with object id '{object_id}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, "
        "please refresh your credentials."
    )
    return by_gateway(403, "AuthorizationFailed", message)


def forbidden_by_policy(rule: str, policy: str, scope: str) -> Refusal:
    assignment = f"{scope}/providers/Microsoft.Authorization/policyAssignments/{policy}"
    definition = f"/providers/Microsoft.Authorization/policyDefinitions/{policy}"
    return by_gateway(
        403,
        "RequestDisallowedByPolicy",
        f"Resource '{rule}' was disallowed by policy. Policy identifiers: '{assignment}'.",
        target=rule,
        additionalInfo=[
            {
                "type": "PolicyViolation",
                "info": {
                    "policyDefinitionName": policy,
                    "policyDefinitionId": definition,
                    "policyDefinitionEffect": "deny",
                    "policyAssignmentId": assignment,
                    "policyAssignmentScope": scope,
                },
            }
        ],
    )


def throttled(kind: str, subscription: str, actor: str, seconds: int, *, header: bool = True) -> Refusal:
    message = (
        f"Number of '{kind}' requests for subscription '{subscription}' actor '{actor}' exceeded. "
        f"Please try again after '{seconds}' seconds after additional tokens are available."
    )
    return by_gateway(429, "SubscriptionRequestsThrottled", message, {"Retry-After": str(seconds)} if header else None)


def subscription_disabled(subscription: str, status: int) -> Refusal:
    message = (
        f"The subscription '{subscription}' is disabled and therefore marked as read only. "
        "You cannot perform any write actions on this subscription until it is re-enabled."
    )
    return by_gateway(status, "ReadOnlyDisabledSubscription", message)


def locked(scope: str, operation: str, lock_scope: str) -> Refusal:
    message = (
        f"The scope '{scope}' cannot perform {operation} operation because following scope(s) are locked: "
        f"'{lock_scope}'. Please remove the lock and try again."
    )
    return by_gateway(409, "ScopeLocked", message)


def group_unknown(group: str) -> Refusal:
    return by_gateway(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")


def server_unknown(server: str, group: str) -> Refusal:
    message = (
        f"The Resource 'Microsoft.Sql/servers/{server}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return by_gateway(404, "ResourceNotFound", message)


def parent_unknown(operation: str, kind: str, parent: str) -> Refusal:
    message = (
        f"Failed to perform '{operation}' on resource(s) of type '{kind}', "
        f"because the parent resource '{parent}' could not be found."
    )
    return by_gateway(404, "ParentResourceNotFound", message)


def type_unknown(kind: str, version: str) -> Refusal:
    message = (
        f"The resource type '{kind}' could not be found in the namespace 'Microsoft.Sql' for api version '{version}'."
    )
    return by_gateway(404, "InvalidResourceType", message)


def route_unknown(path: str) -> Refusal:
    return by_gateway(404, "NotFound", f"The request path '{path}' is not known.")


def media_type(given: str) -> Refusal:
    message = f"The content media type '{given}' is not supported. Only 'application/json' is supported."
    return by_gateway(415, "UnsupportedMediaType", message)


# --- the resource provider


def method_not_allowed(method: str) -> Refusal:
    return by_provider(405, "MethodNotAllowed", f"The requested resource does not support http method '{method}'.")


def resource_unknown(kind: str, name: str) -> Refusal:
    message = f"The requested resource of type '{kind}' with name '{name}' was not found."
    return by_provider(404, "ResourceNotFound", message)


def name_refused(code: str, name: str) -> Refusal:
    return by_provider(400, code, f"The name '{name}' of the firewall rule is not valid.")


def name_too_long(name: str) -> Refusal:
    message = f"The firewall rule name that starts with '{name[:32]}' is too long. Maximum length is 128."
    return by_provider(400, "FirewallRuleNameTooLong", message)


def request_malformed(why: str) -> Refusal:
    return by_provider(400, "InvalidServerFirewallRuleResourceRequest", f"Invalid server firewall rule request: {why}")


def parameter_malformed(name: str) -> Refusal:
    message = f"Invalid server firewall rule parameter: '{name}' is missing or malformed."
    return by_provider(400, "InvalidServerFirewallRuleResourceParameters", message)


def not_ipv4(address: str) -> Refusal:
    return by_provider(400, "FirewallRuleNotIPv4Address", f"The address '{address}' is not an IPv4 address.")


def range_reversed() -> Refusal:
    message = "Start IP address of firewall rule cannot exceed End IP address."
    return by_provider(400, "FirewallRuleInvalidRange", message)


def too_many_rules(limit: int) -> Refusal:
    return by_provider(400, "TooManyFirewallRules", f"Servers can have at most {limit} firewall rules defined.")


def public_access_disabled() -> Refusal:
    return by_provider(400, "DenyPublicEndpointEnabled", PUBLIC_ACCESS_DISABLED)


def interrupted() -> Refusal:
    message = (
        "The operation on the resource could not be completed because it was interrupted "
        "by another operation on the same resource."
    )
    return by_provider(409, "OperationInterrupted", message)
