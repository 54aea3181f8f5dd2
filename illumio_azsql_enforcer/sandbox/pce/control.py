"""Steering the simulator over HTTP, for another process: what agents do, how it behaves, what goes wrong. Not a PCE.

Everything that a person edits goes through the REST API itself.
"""

from dataclasses import asdict, fields
from math import inf

import msgspec

from illumio_azsql_enforcer.sandbox.pce import faults
from illumio_azsql_enforcer.sandbox.pce.behaviour import Behaviour
from illumio_azsql_enforcer.sandbox.pce.console import Console
from illumio_azsql_enforcer.sandbox.pce.refusals import Refused
from illumio_azsql_enforcer.sandbox.pce.replies import reply
from illumio_azsql_enforcer.sandbox.pce.shapes import Json
from illumio_azsql_enforcer.sandbox.wire import CONTROL, Fault, Faults, Reply, Request


class Control:
    """Answers everything under `/sandbox/` on the PCE's port; no key is asked for.

    `GET /sandbox/journal` lists the requests. `GET` and `PUT /sandbox/behaviour` show and set switches (all but
    `total_count`). `POST /sandbox/pair` with the fields of a workload makes a managed one, as an agent does;
    `POST /sandbox/agent` with `href` and `online` or `interfaces` is what an agent reports later.
    `POST /sandbox/move_version` provisions a change without meaning. `POST /sandbox/fault` plans a fault:
    `{"name": "bad_gateway", "path": "*/workloads", "method": "GET", "times": 2, "skip": 0}`, names as in `faults`, for
    `throttled` and `slow` with `"seconds"`; `times` null never ends. `DELETE /sandbox/fault` takes all of them back.
    """

    def __init__(self, console: Console, behaviour: Behaviour, planned: Faults, journal: list[Request]) -> None:
        self._console, self._behaviour, self._planned, self._journal = console, behaviour, planned, journal

    def answer(self, request: Request) -> Reply:
        """Show or do what is asked; 400 for arguments that do not fit, 404 for anything else."""
        try:
            body: Json = msgspec.json.decode(request.body or b"{}", type=Json)
            done = self._do(request.method, request.decoded.removeprefix(CONTROL).strip("/"), body)
        except Refused as refused:
            return reply(refused.status, refused.errors)
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            return reply(400, {"error": f"{type(problem).__name__}: {problem}"})
        return reply(404, {"error": "There is no such thing to steer."}) if done is None else reply(200, done)

    def _do(self, method: str, name: str, body: Json) -> object:
        match method, name:
            case "GET", "journal":
                return [one.as_dict() for one in list(self._journal)]
            case (("GET" | "PUT"), "behaviour"):
                return self._behave(body)
            case "POST", ("pair" | "agent"):
                return self._report(name, body)
            case "POST", "move_version":
                return {"version": self._console.move_version()}
            case (("POST" | "DELETE"), "fault"):
                return self._plan(body) if method == "POST" else self._clear()
        return None

    def _behave(self, body: Json) -> Json:
        known = {one.name for one in fields(self._behaviour)} - {"total_count"}
        if body.keys() - known:
            raise ValueError(f"{', '.join(sorted(body.keys() - known))}: not among {', '.join(sorted(known))}")
        for name, value in body.items():
            setattr(self._behaviour, name, value)
        return {name: value for name, value in asdict(self._behaviour).items() if name in known}

    def _report(self, name: str, body: Json) -> Json:
        if name == "pair":
            return self._console.create("workloads", **{**body, "managed": True})
        changes = {field: body[field] for field in ("online", "interfaces") if field in body}
        return self._console.update(body["href"], **changes)

    def _plan(self, body: Json) -> Json:
        times = body.get("times", 1)
        self._planned.add(
            self._fault(str(body["name"]), body.get("seconds")),
            method=body.get("method", "*"),
            path=body.get("path", "*"),
            times=inf if times is None else times,
            skip=body.get("skip", 0),
        )
        return {"planned": body["name"]}

    def _fault(self, name: str, seconds: float | None) -> Fault:
        match name:
            case "throttled":
                return faults.throttled(None if seconds is None else int(seconds))
            case "slow":
                return faults.slow(seconds or 1.0)
            case "version_moves":
                return faults.version_moves(self._console)
        return faults.BY_NAME[name]

    def _clear(self) -> Json:
        self._planned.clear()
        return {"planned": None}
