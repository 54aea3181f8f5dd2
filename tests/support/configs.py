"""A small, valid config to start from."""

from dataclasses import replace

from illumio_azsql_enforcer.model.settings import (
    AzureSettings,
    Cloud,
    Config,
    EnforcementSettings,
    Mode,
    PceSettings,
)
from illumio_azsql_enforcer.secret import Secret

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


def a_config(**changes: object) -> Config:
    """A Config; `changes` replace its sections."""
    config = Config(
        pce=PceSettings(url="http://127.0.0.1:8443", org_id=1, api_key="api_1a2b", api_secret=Secret("s3cret")),
        azure=AzureSettings(
            cloud=Cloud("http://127.0.0.1:8444", None, "https://management.azure.com", custom=True),
            subscriptions=(SUBSCRIPTION,),
        ),
        enforcement=EnforcementSettings(mode=Mode.SYNC),
    )
    return replace(config, **changes)  # type: ignore[arg-type]  # the caller names real sections
