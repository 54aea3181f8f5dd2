"""Every key: what it becomes, and what is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.config.schema import CONFIG
from illumio_azsql_enforcer.model.settings import (
    AddressSource,
    Cloud,
    CredentialKind,
    EnforcementSettings,
    GuardSettings,
    HttpSettings,
    Mode,
    NatEntry,
    NotifySettings,
    PolicySettings,
    ServerOverride,
    ServerSettings,
)
from illumio_azsql_enforcer.secret import Secret
from tests.config.support import MINIMAL, SUBSCRIPTION, Loader, with_key, without_key

OTHER = "11111111-2222-3333-4444-aaaaaaaaaaaa"


def test_minimal_file_has_the_documented_defaults(loader: Loader) -> None:
    config = loader(MINIMAL)
    assert config.pce.api_secret == Secret("open-sesame")
    assert (config.pce.ca_file, config.pce.timeout, config.pce.deadline) == (None, 30, 600)
    assert config.pce.max_response == 1 << 30
    public = Cloud("https://management.azure.com", "https://login.microsoftonline.com", "https://management.azure.com")
    assert config.azure.cloud == public
    assert config.azure.subscriptions == (SUBSCRIPTION,)
    assert (config.azure.credential, config.azure.client_id) == (CredentialKind.DEFAULT, None)
    assert (config.azure.timeout, config.azure.deadline, config.azure.concurrency) == (30, 300, 16)
    assert config.servers == ServerSettings(("*",), (), {}, {})
    assert config.policy == PolicySettings((1433,), frozenset({AddressSource.INTERFACES}), (), False, True)
    guards = GuardSettings(10, 50, True, 8)
    assert config.enforcement == EnforcementSettings(Mode.SYNC, "illumio", 60, 900, (), False, 256, guards)
    assert (config.http, config.notify, config.state_dir) == (HttpSettings(None), NotifySettings(None), None)


RIGHT = [
    ("pce.url", "https://PCE.Example.com:8443/", "https://pce.example.com:8443"),
    ("pce.url", "https://pce.example.com", "https://pce.example.com"),
    ("pce.url", "https://pce.example.com:443", "https://pce.example.com:443"),
    ("pce.url", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ("pce.url", "http://127.9.9.9", "http://127.9.9.9"),
    ("pce.url", "http://[::1]:8080", "http://[::1]:8080"),
    ("pce.url", "http://localhost:8080", "http://localhost:8080"),
    ("pce.url", "https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ("pce.org_id", "'7'", 7),
    ("pce.api_key", "1a2b3c", "api_1a2b3c"),
    ("pce.api_key", "api_1a2b3c", "api_1a2b3c"),
    ("pce.api_secret", "'#1:asecret'", Secret("#1:asecret")),
    ("pce.timeout", "1s", 1),
    ("pce.deadline", "2h", 7200),
    ("pce.max_response", "64MiB", 64 << 20),
    ("pce.max_response", "1KiB", 1024),
    ("azure.subscriptions", "all", None),
    ("azure.subscriptions", f"[{SUBSCRIPTION}, {OTHER.upper()}]", (SUBSCRIPTION, OTHER)),
    ("azure.credential", "workload_identity", CredentialKind.WORKLOAD_IDENTITY),
    ("azure.client_id", OTHER, OTHER),
    ("azure.timeout", "1m", 60),
    ("azure.deadline", "90s", 90),
    ("azure.concurrency", "64", 64),
    ("servers.include", "['orders-*', web]", ("orders-*", "web")),
    ("servers.exclude", "['*-test']", ("*-test",)),
    ("servers.tag_labels", "{role: illumio-role, env: environment}", {"role": "illumio-role", "env": "environment"}),
    (
        "servers.overrides",
        "{Orders-SQL: {mode: observe, labels: {role: DB, 'on': 'NO'}}, web: {}}",
        {"orders-sql": ServerOverride(Mode.OBSERVE, {"role": "DB", "on": "NO"}), "web": ServerOverride()},
    ),
    (
        "servers.overrides",
        "{orders: {mode: null, labels: null}, web: null}",
        {"orders": ServerOverride(), "web": ServerOverride()},
    ),
    ("policy.ports", "[1433, 11000, 1433]", (1433, 11000)),
    ("policy.addresses", "[public_ip]", frozenset({AddressSource.PUBLIC_IP})),
    ("policy.addresses", "[interfaces, public_ip]", frozenset(AddressSource)),
    ("policy.addresses", "both", frozenset(AddressSource)),
    ("policy.addresses", "public_ip", frozenset({AddressSource.PUBLIC_IP})),
    (
        "policy.nat",
        "[{private: 10.20.0.0/16, public: [203.0.113.7, 203.0.113.8/31, 203.0.113.20-203.0.113.29]}]",
        (
            NatEntry(
                Range.parse("10.20.0.0", "10.20.255.255"),
                (
                    Range.parse("203.0.113.7", "203.0.113.7"),
                    Range.parse("203.0.113.8", "203.0.113.9"),
                    Range.parse("203.0.113.20", "203.0.113.29"),
                ),
            ),
        ),
    ),
    ("policy.skip_offline", "false", False),
    ("enforcement.owner", "a", "a"),
    ("enforcement.owner", "'0-'", "0-"),
    ("enforcement.interval", "10s", 10),
    ("enforcement.full_sync_interval", "60s", 60),
    ("enforcement.protected_rules", "['vpn-*']", ("vpn-*",)),
    ("enforcement.max_rules", "1", 1),
    ("enforcement.guards", "{}", GuardSettings()),
    (
        "enforcement.guards",
        "{max_revoked: 0, max_revoked_percent: 0, never_empty: false, widest_range: 0}",
        GuardSettings(0, 0, False, 0),
    ),
    ("enforcement.guards", "{max_revoked_percent: 100, widest_range: 32}", GuardSettings(10, 100, True, 32)),
    ("http.listen", "null", None),
    ("http.listen", "127.0.0.1:9464", ("127.0.0.1", 9464)),
    ("http.listen", "'[::1]:9464'", ("::1", 9464)),
    ("http.listen", "localhost:80", ("localhost", 80)),
    ("notify.webhook", "null", None),
    ("notify.webhook", "https://hooks.example.com/T0/s3cr3t?x=1", Secret("https://hooks.example.com/T0/s3cr3t?x=1")),
    ("notify.webhook", "http://127.0.0.1:8080/hook", Secret("http://127.0.0.1:8080/hook")),
]


@pytest.mark.parametrize(("key", "value", "wanted"), RIGHT)
def test_right_values(loader: Loader, key: str, value: str, wanted: object) -> None:
    section, _, name = key.partition(".")
    assert getattr(getattr(loader(with_key(key, value)), section), name) == wanted


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode(loader: Loader, mode: Mode) -> None:
    assert loader(with_key("enforcement.mode", str(mode))).enforcement.mode is mode


def test_words_that_become_booleans(loader: Loader) -> None:
    assert loader(with_key("policy.private_ranges", "keep")).policy.keep_private_ranges is True
    assert loader(with_key("enforcement.allow_azure_services", "remove")).enforcement.remove_azure_services is True


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "AzureUSGovernment",
            Cloud(
                "https://management.usgovcloudapi.net",
                "https://login.microsoftonline.us",
                "https://management.core.usgovcloudapi.net",
            ),
        ),
        (
            "AzureChinaCloud",
            Cloud(
                "https://management.chinacloudapi.cn",
                "https://login.chinacloudapi.cn",
                "https://management.chinacloudapi.cn",
            ),
        ),
        (
            "{resource_manager: 'http://127.0.0.1:8080/'}",
            Cloud("http://127.0.0.1:8080", None, "http://127.0.0.1:8080", custom=True),
        ),
        (
            "{resource_manager: https://arm.local, authority: https://sts.local/adfs/, audience: https://m.local/1a2b}",
            Cloud("https://arm.local", "https://sts.local/adfs", "https://m.local/1a2b", custom=True),
        ),
    ],
)
def test_clouds(loader: Loader, name: str, wanted: Cloud) -> None:
    assert loader(with_key("azure.cloud", name)).azure.cloud == wanted


WRONG = [
    ("pce.url", "http://pce.example.com", "not encrypted; write https://"),
    ("pce.url", "http://127.0.0.1.evil.com", "not encrypted"),
    ("pce.url", "http://localhost.evil.com", "not encrypted"),
    ("pce.url", "http://[::ffff:127.0.0.1]", "not encrypted"),
    ("pce.url", "https://pce.example.com:8443/api/v2", "goes on after the port"),
    ("pce.url", "https://pce.example.com?a=1", "goes on after the port"),
    ("pce.url", "ftp://pce.example.com", "no web address"),
    ("pce.url", "pce.example.com", "no web address"),
    ("pce.url", "https://pce.example.com:99999", "no web address"),
    ("pce.url", "https://pce.example.com:0", "no web address"),
    ("pce.url", "https://[::1", "no web address"),
    ("pce.url", "https://127.1", "no web address"),
    ("pce.url", "https://", "no web address"),
    ("pce.url", r'"https://pce.example.com\\@evil.com"', "user name"),
    ("pce.org_id", "0", "a number of at least 1"),
    ("pce.org_id", "-1", "a number of at least 1"),
    ("pce.org_id", "012", "plain digits"),
    ("pce.org_id", "0x10", "plain digits"),
    ("pce.org_id", "1_000", "plain digits"),
    ("pce.org_id", "1.0", "plain digits"),
    ("pce.org_id", "true", "plain digits"),
    ("pce.org_id", "[1]", "one value is wanted"),
    ("pce.org_id", "9" * 5000, "out of range"),
    ("pce.api_key", "'api_1a:2b'", "auth username"),
    ("pce.api_secret", "'with blank'", "without blanks"),
    ("pce.ca_file", "ca.pem", "no absolute path"),
    ("pce.ca_file", "/nowhere/ca.pem", "No such file"),
    ("pce.timeout", "0s", "from 1s to 1h"),
    ("pce.timeout", "30", 'quote it: "30"; a duration such as 30s, 5m or 1h is wanted'),
    ("pce.timeout", "1:30", 'quote it: "1:30"'),
    ("pce.timeout", "1h30m", "one whole number and its unit"),
    ("pce.timeout", "1d", "such as 30s, 5m or 1h"),
    ("pce.timeout", "-1s", "such as 30s, 5m or 1h"),
    ("pce.timeout", "'٣s'", "such as 30s, 5m or 1h"),
    ("pce.deadline", "25h", "from 1s to 24h"),
    ("pce.max_response", "1GB", "512KiB, 64MiB or 1GiB"),
    ("pce.max_response", "0KiB", "from 1KiB to 64GiB"),
    ("pce.max_response", "1073741824", "quote it"),
    ("azure.cloud", "AzurCloud", "did you mean AzureCloud?"),
    ("azure.cloud", "[AzureCloud]", "one value is wanted"),
    ("azure.subscriptions", "[]", "at least one"),
    ("azure.subscriptions", SUBSCRIPTION, "write [00000000-0000-0000-0000-000000000000], or all"),
    ("azure.subscriptions", "{a: b}", "or all"),
    ("azure.credential", "managed-identity", "did you mean managed_identity?"),
    ("azure.client_id", "my-identity", "no GUID"),
    ("azure.concurrency", "0", "from 1 to 64"),
    ("azure.concurrency", "65", "from 1 to 64"),
    ("servers.include", "orders", "a list is wanted"),
    ("servers.tag_labels", "[role]", "a mapping is wanted"),
    ("policy.ports", "[]", "at least one"),
    ("policy.ports", "1433", "a list is wanted"),
    ("policy.addresses", "[]", "at least one"),
    ("policy.addresses", "publicip", "did you mean public_ip?"),
    ("policy.private_ranges", "true", "one of skip, keep"),
    ("policy.skip_offline", "yes", "write true or false"),
    ("policy.skip_offline", "off", "write true or false"),
    ("policy.skip_offline", "1", "write true or false"),
    ("enforcement.mode", "no", "one of observe, upsert, sync, authoritative"),
    ("enforcement.mode", "Sync", "did you mean sync?"),
    ("enforcement.owner", "Illumio", "lower-case"),
    ("enforcement.owner", "'-a'", "no dash at the start"),
    ("enforcement.owner", "a" * 33, "1 to 32"),
    ("enforcement.interval", "9s", "from 10s to 24h"),
    ("enforcement.full_sync_interval", "59s", "shorter than interval (60s)"),
    ("enforcement.max_rules", "0", "at least 1"),
    ("enforcement.allow_azure_services", "false", "one of keep, remove"),
    ("http", "'127.0.0.1:9464'", "a mapping is wanted"),
    ("http.listen", "9464", "HOST:PORT"),
    ("http.listen", "':9464'", "write HOST:PORT"),
    ("http.listen", "127.0.0.1", "write HOST:PORT"),
    ("http.listen", "127.0.0.1:65536", "write HOST:PORT"),
    ("http.listen", "'::1:9464'", "write HOST:PORT"),
    ("notify.webhook", "http://hooks.example.com/s3cr3t", "not encrypted"),
    ("notify.webhook", "hooks.example.com/s3cr3t", "no web address"),
    ("state_dir", "state", "no absolute path"),
]


@pytest.mark.parametrize(("key", "value", "wanted"), WRONG)
def test_wrong_values(loader: Loader, key: str, value: str, wanted: str) -> None:
    problem = loader.problem(with_key(key, value))
    assert (problem.file, problem.key) == (str(loader.path), key)
    assert wanted in problem.message


DEEPER = [
    ("azure.cloud", "{}", "azure.cloud.resource_manager", "missing"),
    ("azure.cloud", "{resource_manager: http://arm.example.com}", "azure.cloud.resource_manager", "not encrypted"),
    ("azure.cloud", "{resource_manager: https://arm.example.com/a}", "azure.cloud.resource_manager", "after the port"),
    (
        "azure.cloud",
        "{resource_manager: https://a.example.com, authority: http://127.0.0.1}",
        "azure.cloud.authority",
        "write https://",
    ),
    ("azure.subscriptions", f"[{SUBSCRIPTION}, {SUBSCRIPTION}]", "azure.subscriptions[1]", "there twice"),
    ("azure.subscriptions", f"[{OTHER}, {OTHER.upper()}]", "azure.subscriptions[1]", "there twice"),
    ("azure.subscriptions", "[all]", "azure.subscriptions[0]", "no GUID"),
    ("azure.subscriptions", "[null]", "azure.subscriptions[0]", "quote it"),
    ("servers.include", "['']", "servers.include[0]", "is empty"),
    ("servers.include", "[1]", "servers.include[0]", 'quote it: "1"'),
    ("servers.tag_labels", "{role: 012}", "servers.tag_labels.role", 'quote it: "012"'),
    ("servers.tag_labels", "{NO: a}", "servers.tag_labels", 'quote it: "NO"'),
    ("servers.tag_labels", "{role: a, role: b}", "servers.tag_labels.role", "there twice"),
    ("servers.overrides", "{orders: {mode: sinc}}", "servers.overrides.orders.mode", "did you mean sync?"),
    ("servers.overrides", "{orders: {label: {}}}", "servers.overrides.orders.label", "did you mean labels?"),
    ("servers.overrides", "{orders: sync}", "servers.overrides.orders", "a mapping is wanted"),
    ("servers.overrides", "{'orders-*': {}}", "servers.overrides", "without patterns"),
    ("servers.overrides", "{orders.database.windows.net: {}}", "servers.overrides", "without its domain"),
    ("servers.overrides", "{Orders: {}, orders: {}}", "servers.overrides.orders", "there twice"),
    ("servers.overrides", "{o: {labels: {loc: NO}}}", "servers.overrides.o.labels.loc", 'quote it: "NO"'),
    ("servers.overrides", "{o: {labels: {loc: 2026-01-01}}}", "servers.overrides.o.labels.loc", "as a date"),
    ("servers.overrides", "{o: {labels: {loc: 1:30}}}", "servers.overrides.o.labels.loc", 'quote it: "1:30"'),
    ("servers.overrides", "{o: {labels: {loc: 1.5}}}", "servers.overrides.o.labels.loc", "as a number"),
    ("servers.overrides", "{o: {labels: {loc: null}}}", "servers.overrides.o.labels.loc", "as nothing"),
    ("servers.overrides", "{o: {labels: {loc: }}}", "servers.overrides.o.labels.loc", "quote it"),
    ("servers.overrides", "{o: {labels: {12: a}}}", "servers.overrides.o.labels", 'quote it: "12"'),
    ("policy.ports", "[1433, 0]", "policy.ports[1]", "from 1 to 65535"),
    ("policy.ports", "[65536]", "policy.ports[0]", "from 1 to 65535"),
    ("policy.addresses", "[both]", "policy.addresses[0]", "one of interfaces, public_ip"),
    ("policy.nat", "[10.0.0.0/8]", "policy.nat[0]", "a mapping is wanted"),
    ("policy.nat", "[{public: [203.0.113.7]}]", "policy.nat[0].private", "missing"),
    ("policy.nat", "[{private: 10.0.0.0/8}]", "policy.nat[0].public", "missing"),
    ("policy.nat", "[{private: 10.0.0.0/8, public: []}]", "policy.nat[0].public", "at least one"),
    ("policy.nat", "[{private: 10.0.0.1/8, public: [203.0.113.7]}]", "policy.nat[0].private", "no bits behind"),
    ("policy.nat", "[{private: 10.0.0.0/33, public: [203.0.113.7]}]", "policy.nat[0].private", "no IPv4 block"),
    ("policy.nat", "[{private: 10.0.0.0/08, public: [203.0.113.7]}]", "policy.nat[0].private", "no IPv4 block"),
    ("policy.nat", "[{private: 10.0/8, public: [203.0.113.7]}]", "policy.nat[0].private", "no IPv4 block"),
    ("policy.nat", "[{private: 10.0.0.0-10.0.0.9, public: [203.0.113.7]}]", "policy.nat[0].private", "no IPv4 block"),
    ("policy.nat", "[{private: 'fd00::/8', public: [203.0.113.7]}]", "policy.nat[0].private", "no IPv4 block"),
    ("policy.nat", "[{private: 10.0.0.0/8, public: [203.0.113.07]}]", "policy.nat[0].public[0]", "no IPv4 range"),
    ("policy.nat", "[{private: 10.0.0.0/8, public: [203.0.113.1/31]}]", "policy.nat[0].public[0]", "no IPv4 range"),
    ("policy.nat", "[{private: 10.0.0.0/8, public: [1.2.3.9-1.2.3.8]}]", "policy.nat[0].public[0]", "no IPv4 range"),
    (
        "policy.nat",
        "[{private: 10.0.0.0/8, public: [1.2.3.4]}, {private: 10.0.0.0/8, public: [1.2.3.5]}]",
        "policy.nat[1]",
        "there twice",
    ),
    ("enforcement.guards", "{max_revoked: -1}", "enforcement.guards.max_revoked", "at least 0"),
    ("enforcement.guards", "{max_revoked_percent: 101}", "enforcement.guards.max_revoked_percent", "from 0 to 100"),
    ("enforcement.guards", "{never_empty: 'no'}", "enforcement.guards.never_empty", "true or false"),
    ("enforcement.guards", "{widest_range: 33}", "enforcement.guards.widest_range", "from 0 to 32"),
    ("enforcement.protected_rules", "[a, 2]", "enforcement.protected_rules[1]", 'quote it: "2"'),
]


@pytest.mark.parametrize(("key", "value", "place", "wanted"), DEEPER)
def test_wrong_values_inside(loader: Loader, key: str, value: str, place: str, wanted: str) -> None:
    problem = loader.problem(with_key(key, value))
    assert problem.key == place
    assert wanted in problem.message


REQUIRED = ["pce.url", "pce.org_id", "pce.api_key", "pce.api_secret", "azure.subscriptions", "enforcement.mode"]


@pytest.mark.parametrize("key", REQUIRED)
def test_required_keys(loader: Loader, key: str) -> None:
    for text in (without_key(key), with_key(key, "null")):
        problem = loader.problem(text)
        assert problem.key == key
        assert "the key is missing; write" in problem.message


# Sections with required keys cannot be null, and what is inside a list or a free mapping has no path of its own here.
INSIDE = ("azure.cloud.", "servers.overrides.", "policy.nat.")
OPTIONAL = [
    path
    for path in CONFIG.paths()
    if path not in {*REQUIRED, "pce", "azure", "enforcement"} and not path.startswith(INSIDE)
]


def test_optional_keys_are_many() -> None:
    assert len(OPTIONAL) == 38


@pytest.mark.parametrize("key", OPTIONAL)
@pytest.mark.parametrize("nothing", ["null", "~", ""])
def test_null_is_the_default(loader: Loader, key: str, nothing: str) -> None:
    assert loader(with_key(key, nothing)) == loader(MINIMAL)


def test_longer_interval_takes_the_full_sync_along(loader: Loader) -> None:
    assert loader(with_key("enforcement.interval", "20m")).enforcement.full_sync_interval == 1200


def _certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=9999))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_ca_file(loader: Loader, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(_certificate())
    config = loader(with_key("pce.ca_file", str(bundle)))
    assert config.pce.ca_file == bundle
    bundle.write_text("no certificate")
    for key in ("pce.ca_file", "azure.ca_file"):
        assert "no usable certificate" in loader.problem(with_key(key, str(bundle))).message
    assert loader.problem(with_key("azure.ca_file", str(tmp_path))).key == "azure.ca_file"


def test_state_directory(loader: Loader) -> None:
    assert loader(MINIMAL, {"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}).state_dir == Path("/var/lib/one")
    text = with_key("state_dir", "/srv/state")
    assert loader(text, {"STATE_DIRECTORY": "/var/lib/one"}).state_dir == Path("/srv/state")
    problem = loader.problem(MINIMAL, {"STATE_DIRECTORY": "relative"})
    assert (problem.key, "$STATE_DIRECTORY" in problem.message) == ("state_dir", True)
