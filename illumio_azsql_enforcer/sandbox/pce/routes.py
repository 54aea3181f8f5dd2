"""What each path below `/api/v2/orgs/N/` does."""

from collections.abc import Callable, Iterable

import msgspec

from illumio_azsql_enforcer.sandbox.pce.analysis import Analysis
from illumio_azsql_enforcer.sandbox.pce.behaviour import Behaviour
from illumio_azsql_enforcer.sandbox.pce.bulk import BULK, bulk
from illumio_azsql_enforcer.sandbox.pce.editing import create, delete, update
from illumio_azsql_enforcer.sandbox.pce.eventquery import find_events
from illumio_azsql_enforcer.sandbox.pce.events import Origin
from illumio_azsql_enforcer.sandbox.pce.jobs import Jobs
from illumio_azsql_enforcer.sandbox.pce.org import Org, Version
from illumio_azsql_enforcer.sandbox.pce.provisioning import pending, provision
from illumio_azsql_enforcer.sandbox.pce.query import limit, select
from illumio_azsql_enforcer.sandbox.pce.refusals import Refused, invalid, not_found
from illumio_azsql_enforcer.sandbox.pce.replies import JSON, counts, reply
from illumio_azsql_enforcer.sandbox.pce.resource import Resource
from illumio_azsql_enforcer.sandbox.pce.resources import HELD_AS, RESOURCES, RULE_KINDS
from illumio_azsql_enforcer.sandbox.pce.shapes import REFERENCE, TEXT, Json, JsonValue, array, record
from illumio_azsql_enforcer.sandbox.pce.views import Views
from illumio_azsql_enforcer.sandbox.wire import Reply, Request

Verbs = dict[str, Callable[[], Reply]]
PROVISIONING = record(
    {
        "update_description": TEXT,
        "change_subset": record({name: array(REFERENCE) for name, one in RESOURCES.items() if one.versioned}),
    }
)
SETTLED = ("rule_sets", "ip_lists", "services")  # what is shown of them in a version never changes


class Routes:
    """The routes of one organization."""

    def __init__(self, org: Org, behaviour: Behaviour, views: Views, base_url: Callable[[], str]) -> None:
        self._org, self._behaviour, self._views, self._base_url = org, behaviour, views, base_url
        self._jobs, self._analysis = Jobs(org, behaviour), Analysis(org, views)
        self._bodies: dict[str, tuple[int, bytes]] = {}  # request target -> what it depends on, body

    def answer(self, request: Request, parts: list[str]) -> Reply | None:
        """The answer, or None for a path that this release does not have. Raises Refused."""
        self._views.inline_deny_rules = self._behaviour.inline_deny_rules
        verbs = self._policy(request, parts[1:]) if parts[0] == "sec_policy" else self._unversioned(request, parts)
        if verbs is None:
            return None
        if request.method not in verbs:
            raise Refused(405, "method_not_allowed_error", "Method not allowed")
        return verbs[request.method]()

    # --- outside the policy

    def _unversioned(self, request: Request, parts: list[str]) -> Verbs | None:
        verbs: Verbs | None = None
        match parts:
            case ["jobs", name]:
                verbs = {"GET": lambda: self._job(name), "DELETE": lambda: self._forget(name)}
            case ["datafiles", name]:
                verbs = {"GET": lambda: self._datafile(name)}
            case ["events"]:
                verbs = {"GET": lambda: self._events(request)}
            case ["events", name]:
                verbs = {"GET": lambda: self._event(name)}
            case ["settings", "workloads"]:
                settings = {"href": f"/orgs/{self._org.org_id}/settings/workloads"}
                verbs = {"GET": lambda: reply(200, settings)}
            case ["workloads", action] if action in BULK:
                verbs = {"PUT": lambda: reply(200, bulk(self._org, action, _body(request), _origin(request)))}
            case _:
                verbs = self._collection(request, parts, None)
        return verbs

    def _job(self, name: str) -> Reply:
        shown = self._jobs.ask(name)
        if shown is None:
            raise not_found(f"/orgs/{self._org.org_id}/jobs/{name}")
        return reply(200, shown)

    def _forget(self, name: str) -> Reply:
        if not self._jobs.forget(name):
            raise not_found(f"/orgs/{self._org.org_id}/jobs/{name}")
        return Reply(204)

    def _datafile(self, name: str) -> Reply:
        body = self._jobs.datafile(name)
        if body is None:
            raise not_found(f"/orgs/{self._org.org_id}/datafiles/{name}")
        return Reply(200, body, JSON)

    def _events(self, request: Request) -> Reply:
        if not self._behaviour.events_permitted:
            raise Refused(403, "forbidden_error", "Forbidden")
        found, total = find_events(self._org.events, request.query)
        if request.headers.get("prefer") == "respond-async":
            return self._accepted(request, msgspec.json.encode(found))
        return reply(200, found, counts(total))

    def _event(self, name: str) -> Reply:
        found = [one for one in self._org.events if one["href"].endswith(f"/{name}")]
        if not found:
            raise not_found(f"/orgs/{self._org.org_id}/events/{name}")
        return reply(200, found[0])

    # --- the policy

    def _policy(self, request: Request, parts: list[str]) -> Verbs | None:
        verbs: Verbs | None = None
        match parts:
            case []:
                verbs = {"GET": self._versions, "POST": lambda: self._provision(request)}
            case ["pending"]:
                verbs = {"GET": lambda: reply(200, pending(self._org))}
            case [view] if view != "draft":
                verbs = {"GET": lambda: reply(200, self._version(view).described)}
            case [view, "modified_objects"]:
                verbs = {"GET": lambda: reply(200, self._version(view).modified)}
            case [view, ("policy_check" | "allow") as question] if self._has_question(question):
                verbs = {"GET": lambda: self._check(request, view, question)}
            case [view, *rest] if rest:
                verbs = self._collection(request, rest, view)
        return verbs

    def _has_question(self, question: str) -> bool:
        return question == "allow" or self._org.release.policy_check

    def _check(self, request: Request, view: str, question: str) -> Reply:
        matched = self._analysis.check(view, request.query)
        return reply(200, matched["sec_rules"] if question == "allow" else matched)

    def _versions(self) -> Reply:
        return reply(200, [self._org.versions[number].described for number in sorted(self._org.versions, reverse=True)])

    def _version(self, view: str) -> Version:
        number = self._org.active.number if view == "active" else int(view) if view.isdecimal() else -1
        if number not in self._org.versions:
            raise not_found(f"/orgs/{self._org.org_id}/sec_policy/{view}")
        return self._org.versions[number]

    def _provision(self, request: Request) -> Reply:
        body = _body(request)
        faults = list(PROVISIONING(body, "#/"))
        if faults:
            raise invalid(faults, "sec_policy_post")
        subset = body.get("change_subset")
        hrefs = None if subset is None else [one["href"] for items in subset.values() for one in items]
        made = provision(self._org, body.get("update_description", ""), hrefs, _origin(request))
        return reply(201, made.described)

    # --- collections and their objects

    def _collection(self, request: Request, parts: list[str], view: str | None) -> Verbs | None:
        resource = RESOURCES.get(parts[0])
        if resource is None or resource.versioned != (view is not None) or not self._released(resource):
            return None
        match parts[1:]:
            case [] if resource.collection == "firewall_settings":
                return self._object(request, f"{self._stem(view)}/firewall_settings")
            case []:
                verbs: Verbs = {"GET": lambda: self._list(request, resource, view)}
                editable = resource.writable and view in (None, "draft")
                return verbs | ({"POST": lambda: self._create(request, resource)} if editable else {})
            case [name]:
                return self._object(request, f"{self._stem(view)}/{resource.collection}/{name}")
            case [name, *rest] if view:
                return self._below(request, parts[0], name, rest, view)
        return None

    def _released(self, resource: Resource) -> bool:
        since = {
            "enforcement_boundaries": self._org.release.modern_agents,
            "label_dimensions": self._org.release.label_dimensions,
        }
        return since.get(resource.collection, True)

    def _stem(self, view: str | None) -> str:
        return f"/orgs/{self._org.org_id}" + (f"/sec_policy/{view}" if view else "")

    def _below(self, request: Request, collection: str, name: str, rest: list[str], view: str) -> Verbs | None:
        href = f"{self._stem(view)}/{collection}/{name}"
        match [collection, *rest]:
            case ["rule_sets", ("sec_rules" | "deny_rules") as kind, *ids] if self._has_rules(kind) and len(ids) < 2:
                return self._rule(request, f"{href}/{kind}/{ids[0]}") if ids else self._rules(request, href, kind, view)
            case ["label_groups", "all_labels"]:
                return {"GET": lambda: reply(200, self._all_labels(href))}
            case ["label_groups", "member_of"]:
                return {"GET": lambda: reply(200, self._member_of(href, view))}
        return None

    def _has_rules(self, kind: str) -> bool:
        return kind == "sec_rules" or self._org.release.deny_rules

    def _object(self, request: Request, href: str) -> Verbs:
        place = self._org.place(href)
        stored = self._org.stored(place, href)
        representation = request.query.get("representation", "")
        return {
            "GET": lambda: reply(200, self._views.show(place.collection, stored, place.view, representation)),
            "PUT": lambda: self._change(request, href),
            "DELETE": lambda: self._delete(request, href),
        }

    def _change(self, request: Request, href: str) -> Reply:
        update(self._org, self._org.place(href), href, _body(request), _origin(request))
        return Reply(204)

    def _delete(self, request: Request, href: str) -> Reply:
        delete(self._org, self._org.place(href), href, _origin(request))
        return Reply(204)

    def _rule(self, request: Request, href: str) -> Verbs:
        place = self._org.place(href)
        stored = self._org.stored(place, href)
        return {
            "GET": lambda: reply(200, self._views.rule(place.rules or "", stored, place.view or "")),
            "PUT": lambda: self._change(request, href),
            "DELETE": lambda: self._delete(request, href),
        }

    def _rules(self, request: Request, href: str, kind: str, view: str) -> Verbs:
        rule_set = self._org.stored(self._org.place(href), href)
        rules = rule_set.get(HELD_AS[kind]) or []

        def add() -> Reply:
            made = create(self._org, RULE_KINDS[kind], _body(request), _origin(request), rule_set)
            return reply(201, self._views.rule(kind, made, view))

        verbs: Verbs = {"GET": lambda: self._counted(request, [self._views.rule(kind, one, view) for one in rules])}
        return verbs | ({"POST": add} if view == "draft" else {})

    def _create(self, request: Request, resource: Resource) -> Reply:
        body, view = _body(request), "draft" if resource.versioned else None
        if resource.collection == "service_bindings" and isinstance(body, list):
            made = [create(self._org, resource, one, _origin(request)) for one in body]
            return reply(201, [{"href": one["href"]} for one in made])
        one = create(self._org, resource, body, _origin(request))
        return reply(201, self._views.show(resource.collection, one, view))

    # --- lists

    def _list(self, request: Request, resource: Resource, view: str | None) -> Reply:
        stored = self._org.objects(resource.collection, view)
        found = select(resource, stored.values(), request.query)
        representation = request.query.get("representation", "")
        if request.headers.get("prefer") == "respond-async":
            return self._accepted(request, self._whole(request, resource, found, view))
        kept = found[: self._cap(request)]
        if len(kept) == len(found):
            return Reply(200, self._whole(request, resource, found, view), {**JSON, **self._totals(len(found))})
        shown = [self._views.show(resource.collection, one, view, representation) for one in kept]
        return reply(200, shown, self._totals(len(found)))

    def _whole(self, request: Request, resource: Resource, found: Iterable[Json], view: str | None) -> bytes:
        """The body with everything that was found; kept until something changes, since large ones cost time."""
        key = f"{request.target} {self._behaviour.inline_deny_rules}"
        representation = request.query.get("representation", "")
        settled = view == "active" and resource.collection in SETTLED and not representation
        state = -self._org.active.number if settled else self._org.revision
        if self._bodies.get(key, (0, b""))[0] != state:
            shown = [self._views.show(resource.collection, one, view, representation) for one in found]
            self._bodies[key] = (state, msgspec.json.encode(shown))
        return self._bodies[key][1]

    def _counted(self, request: Request, shown: list[Json]) -> Reply:
        return reply(200, shown[: self._cap(request)], self._totals(len(shown)))

    def _cap(self, request: Request) -> int:
        asked = limit(request.query)
        if asked is None or (asked > self._behaviour.cap and not self._behaviour.honour_max_results):
            return self._behaviour.cap
        return asked

    def _totals(self, total: int) -> dict[str, str]:
        said = self._behaviour.total_count(total)
        return {} if said is None else counts(said)

    def _accepted(self, request: Request, body: bytes) -> Reply:
        job = self._jobs.accept(request.path.removeprefix("/api/v2"), body)
        prefixes = {"href": "", "api": "/api/v2", "absolute": f"{self._base_url()}/api/v2"}
        headers = {"Location": prefixes[self._behaviour.location] + job.href}
        wait = self._behaviour.job_wait
        return Reply(202, b"", headers if wait is None else {**headers, "Retry-After": str(wait)})

    # --- label groups

    def _all_labels(self, href: str) -> list[Json]:
        return [self._org.live["labels"][_last(one)] for one in sorted(self._expanded(href, set()))]

    def _expanded(self, href: str, seen: set[str]) -> set[str]:
        if href in seen:
            return set()
        seen.add(href)
        place = self._org.place(href)
        group = self._org.stored(place, href)
        found = {one["href"] for one in group["labels"]}
        for one in group["sub_groups"]:
            found |= self._expanded(f"{self._stem(place.view)}/label_groups/{_last(one['href'])}", seen)
        return found

    def _member_of(self, href: str, view: str) -> list[Json]:
        groups = self._org.objects("label_groups", view).values()
        above = [one for one in groups if any(_last(sub["href"]) == _last(href) for sub in one["sub_groups"])]
        return [self._views.show("label_groups", one, view) for one in above]


def _last(href: str) -> str:
    return str(href).rpartition("/")[2]


def _body(request: Request) -> JsonValue:
    try:
        return msgspec.json.decode(request.body)
    except msgspec.DecodeError:
        raise Refused(400, "bad_request_error", "The body is not JSON") from None


def _origin(request: Request) -> Origin:
    return Origin(request.path, request.method)
