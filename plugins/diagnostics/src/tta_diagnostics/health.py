"""How the deployment is: asked in the background, kept with its time, told to whoever asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, get_args

import anyio
import msgspec

from tta_http import NOT_FOUND, PUBLIC, Content, Media, Nothing, Principal, Route
from tta_kernel import Health, Kernel

Status = Literal["pass", "warn", "fail"]
STATUSES: Mapping[str, Status] = {"ok": "pass", "degraded": "warn", "failing": "fail"}
READ = "health:read"
HEALTH_JSON = "application/health+json"
TEXT = "text/plain; charset=utf-8"
_encode = msgspec.json.Encoder().encode


class Check(msgspec.Struct, frozen=True, omit_defaults=True, rename={"component_type": "componentType"}):
    """How one plugin is; ``output`` says why it isn't well."""

    status: Status
    time: str
    component_type: Literal["component"]
    output: str = ""


class HealthReport(msgspec.Struct, frozen=True, omit_defaults=True, rename={"release_id": "releaseId"}):
    """How the deployment is, as draft-inadarei-api-health-check-06 writes it; whoever isn't known sees the status."""

    status: Status
    description: str = ""
    release_id: str = ""
    checks: Mapping[str, list[Check]] = {}


class Verbose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With ``?verbose`` the answer lists each check."""

    verbose: Literal["", "true", "false"] | None = None


class OneCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One check by its name."""

    check: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class HealthCache:
    """Asks all plugins at intervals; whoever wants to know waits for nobody."""

    def __init__(self, kernel: Kernel, interval: Callable[[], float], clock: Callable[[], float] = time.time) -> None:
        self.at = 0.0
        self._draining = False
        self._kernel = kernel
        self._interval = interval
        self._clock = clock
        self._found: Mapping[str, Health] = {}
        self._changed = anyio.Event()
        self._well: Status | None = None
        """The status, while it isn't ``fail`` and nothing has changed: probes ask for no more, and often."""

    @property
    def draining(self) -> bool:
        """Whether it stops; it isn't ready any more."""
        return self._draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._draining = draining
        self._well = None

    async def keep(self) -> None:
        """Ask again and again."""
        while True:
            self._found = await self._kernel.health()
            self.at = self._clock()
            self._well = None
            with anyio.move_on_after(self._interval()):
                await self._changed.wait()
                self._changed = anyio.Event()

    def renew(self) -> None:
        """Ask soon: something has changed."""
        self._changed.set()
        self._well = None

    def checks(self) -> Mapping[str, Status]:
        """Return how each plugin is, and the server itself; one that isn't required can't be worse than ``warn``."""
        found: dict[str, Status] = {name: self._status(name, health) for name, health in self._found.items()}
        # What stopped since it was asked counts at once.
        for record in self._kernel.records.values():
            if record.name in found and not record.running:
                found[record.name] = "fail" if record.required else "warn"
        found["started"] = "pass" if self._kernel.changing is not None and self.at else "fail"
        found["not-stopping"] = "fail" if self.draining else "pass"
        return found

    def _status(self, name: str, health: Health) -> Status:
        status = STATUSES.get(health.status, "fail")
        record = self._kernel.records.get(name)
        return "warn" if status == "fail" and record is not None and not record.required else status

    @property
    def status(self) -> Status:
        """The worst of all."""
        if self._well is not None:
            return self._well
        found = self.checks().values()
        if "fail" in found:
            return "fail"
        self._well = "warn" if "warn" in found else "pass"
        return self._well

    def report(self) -> HealthReport:
        """Return all that is known, with the time at which it was asked."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.at))
        checks = {}
        for name, status in self.checks().items():
            known = self._found.get(name)
            why = _redacted(self._kernel, known.detail) if known and status != "pass" else ""
            checks[name] = [Check(status, moment, "component", why)]
        bad = [name for name, each in checks.items() if each[0].status != "pass"]
        return HealthReport(self.status, ", ".join(bad), checks=checks)


def _redacted(kernel: Kernel, detail: object) -> str:
    from tta_program.logs import Redactor  # it reads what argparse and others need, and health is asked seldom

    return Redactor(kernel.secrets)(str(detail))[:1000]


def _status_code(status: Status) -> int:
    return 503 if status == "fail" else 200


_BRIEF: Mapping[Status, Content] = {
    status: Content(_encode(HealthReport(status)), _status_code(status)) for status in get_args(Status)
}
"""What whoever isn't known sees; most who ask are probes."""


def health_routes(cache: Callable[[], HealthCache], allowed: Callable[[Principal, str], bool]) -> list[Route]:
    """Return the routes of probes."""

    def livez(request: Nothing, principal: Principal, kind: str) -> Content:
        return Content(b"ok\n")

    def readyz(request: Verbose, principal: Principal, kind: str) -> Content:
        checks = cache().checks()
        ready = "fail" not in checks.values()
        lines = []
        if request.verbose not in (None, "false"):
            lines = [f"[{'-' if status == 'fail' else '+'}]{name} {status}" for name, status in checks.items()]
        lines.append("ok" if ready else "not ready")
        return Content("\n".join([*lines, ""]).encode(), 200 if ready else 503)

    def one(request: OneCheck, principal: Principal, kind: str) -> Content:
        status = cache().checks().get(request.check)
        if status is None:
            raise NOT_FOUND("there is no such check; /readyz?verbose lists them")
        return Content(f"{'not ready' if status == 'fail' else 'ok'}\n".encode(), _status_code(status))

    def health(request: Nothing, principal: Principal, kind: str) -> Content:
        known = cache()
        status = known.status
        if not allowed(principal, READ):
            return _BRIEF[status]
        return Content(_encode(known.report()), _status_code(status))

    text = Media((TEXT,), (200, 503))
    report = Media((HEALTH_JSON, "application/json"), (200, 503), HealthReport)
    return [
        Route(
            method="GET", path="/livez", permission=PUBLIC, handler=livez, response=Media((TEXT,)), limit="probe",
            summary="Say that the process answers.",
        ),
        Route(
            method="GET", path="/readyz", permission=PUBLIC, handler=readyz, request=Verbose, response=text,
            limit="probe", summary="Say whether requests may be sent here; 503 while it starts, stops or fails.",
        ),
        Route(
            method="GET", path="/readyz/{check}", permission=PUBLIC, handler=one, request=OneCheck, response=text,
            limit="probe", problems=(NOT_FOUND,), summary="Say how one plugin is.",
        ),
        Route(
            method="GET", path="/health", permission=PUBLIC, handler=health, response=report, limit="probe",
            summary="Say how the deployment is; details need health:read.", example=HealthReport("pass"),
        ),
    ]  # fmt: skip
