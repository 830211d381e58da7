"""Settings from flags, environment and a TOML file: who wins, and that every mistake is told with its place."""

import dataclasses
from pathlib import Path

import pytest

from interchange.serving.configuration import LEAST_SECRET, ConfigurationError, checked, configure, from_plain
from interchange.serving.plain import hints, is_simple, meanings, to_plain
from interchange.serving.settings import ModelSettings, Settings, Token

ROOT = Path(__file__).parent.parent
SECRET = "a-long-enough-secret"


@pytest.fixture
def write(tmp_path):
    def write(text, name="serve.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(*args, **kwargs):
    """(code, where) of everything that is wrong."""
    with pytest.raises(ConfigurationError) as info:
        configure(*args, **kwargs)
    assert info.value.code == info.value.problems[0].code
    for problem in info.value.problems:
        assert all((problem.where, problem.found, problem.expected, problem.fix)), problem
    return [(p.code, p.where) for p in info.value.problems]


# -- sources -----------------------------------------------------------------------------------------------------------
def test_flags_win_over_the_environment_over_the_file_over_the_defaults(write):
    path = write("host = 'a'\nworkers = 2\nmax_body = 100\nstop_seconds = 7")
    found = configure(
        path, {"INTERCHANGE_SERVE_WORKERS": "3", "INTERCHANGE_SERVE_MAX_BODY": "200"}, {"max_body": "300"}
    )
    assert (found.host, found.workers, found.max_body, found.stop_seconds) == ("a", 3, 300, 7.0)
    assert found.idle_seconds == Settings().idle_seconds


def test_nothing_given_is_the_defaults():
    assert configure() == Settings()


def test_the_file_can_be_named_by_the_environment_and_a_flag_names_another(write):
    one, other = write("workers = 2"), write("workers = 3", "other.toml")
    environment = {"INTERCHANGE_SERVE_CONFIG": str(one)}
    assert configure(None, environment).workers == 2
    assert configure(other, environment).workers == 3


def test_every_field_of_every_kind_is_read(write):
    path = write(
        """
        uds = "s.sock"
        uds_mode = 0o660
        grpc_port = "none"
        watch_seconds = "none"
        page = false
        pipelines = {digits = "digits.toml"}
        [defaults]
        max_batch = 8
        cache = 5
        [models.iris]
        versions = [1, 3]
        batching = true
        cache = 9
        labels = ["a", "b"]
        pad = {time = [8, 16]}
        canary = {3 = 0.1}
        weights = "shared"
        [models."a.b"]
        versions = "all"
        """
    )
    found = configure(path)
    folder = path.parent
    assert (found.uds, found.uds_mode, found.pipelines) == (
        folder / "s.sock",
        0o660,
        {"digits": folder / "digits.toml"},
    )
    assert found.grpc_port is None
    assert found.watch_seconds is None
    assert not found.page
    iris = found.models["iris"]
    assert iris == ModelSettings(
        versions=(1, 3), batching=True, cache=9, labels=("a", "b"), pad={"time": (8, 16)}, canary={"3": 0.1},
        weights="shared", max_batch=8,
    )  # fmt: skip
    assert found.of("a.b") == ModelSettings(versions="all", max_batch=8, cache=5)
    assert found.of("unnamed") == ModelSettings(max_batch=8, cache=5)


def test_tables_of_all_sources_are_joined(write):
    path = write("[models.iris]\nmax_batch = 8\ncache = 1")
    environment = {"INTERCHANGE_SERVE_MODELS": "{iris = {cache = 2, instances = 2}}"}
    found = configure(path, environment, assignments=["models.iris.instances = 3", "defaults.threads = 1"])
    assert found.of("iris") == ModelSettings(max_batch=8, cache=2, instances=3, threads=1)


def test_paths_of_the_file_are_relative_to_it_and_others_to_where_one_is(write):
    path = write("tls_certificate = 'c.pem'\ntls_key = 'k.pem'")
    found = configure(path, flags={"tls_key": "mine.pem"})
    assert found.tls_certificate == path.parent / "c.pem"
    assert str(found.tls_key) == "mine.pem"


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("ON", True), ("0", False), ("no", False), ("false", False)]
)
def test_texts_for_yes_and_no(text, expected):
    assert configure(environment={"INTERCHANGE_SERVE_PAGE": text}).page is expected


def test_what_an_orchestrator_sets_for_a_service_of_our_name_is_passed_over():
    links = (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_8000_TCP",
        "HTTP_PORT",
        "HTTP_PORT_80_TCP_ADDR",
    )
    assert configure(environment={f"INTERCHANGE_SERVE_{name}": "tcp://10.0.0.1:8000" for name in links}) == Settings()


# -- tokens ------------------------------------------------------------------------------------------------------------
def test_secrets_come_from_files_and_the_environment_and_add_up(write):
    write(f"{SECRET}-file\n", "ops.token")
    flag = write(f"{SECRET}-flag\n", "flag.token")
    path = write(
        """
        [[tokens]]
        name = "ops"
        admin = true
        secret_file = "ops.token"
        [[tokens]]
        name = "app"
        secret_env = "APP_TOKEN"
        models = ["iris*"]
        """
    )
    found = configure(path, {"APP_TOKEN": f"{SECRET}-env"}, {"admin_token_file": str(flag)})
    assert found.tokens == (
        Token(secret=f"{SECRET}-file", name="ops", admin=True),
        Token(secret=f"{SECRET}-env", name="app", models=("iris*",)),
        Token(secret=f"{SECRET}-flag", name="admin", admin=True),
    )
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("lines", "environment"),
    [
        (f"secret = '{SECRET}'", {}),
        ("secret_file = 'gone.token'", {}),
        ("secret_env = 'GONE'", {}),
        ("secret_env = 5", {}),
        ("name = 'without one'", {}),
        ("secret_file = 'a'\nsecret_env = 'B'", {"B": SECRET}),
        ("secret_env = 'B'", {"B": SECRET[: LEAST_SECRET - 1]}),
        ("secret_env = 'B'", {"B": f"{SECRET} with spaces"}),
        ("secret_env = 'B'", {"B": f"{SECRET}\x7f"}),
    ],
)
def test_secrets_that_are_of_no_use(write, lines, environment):
    path = write(f"workers = 1\n[[tokens]]\n{lines}")
    assert problems(path, environment) == [("IX675", "serve.toml:2")]


def test_no_error_shows_a_secret(write):
    path = write(f"[[tokens]]\nsecret = '{SECRET}'\nmodels = ['{SECRET}']\n[[tokens]]\nsecret_env = 'B'")
    for environment in ({"B": SECRET + "\n"}, {"INTERCHANGE_SERVE_TOKENS": SECRET}, {"B": SECRET[:9]}):
        with pytest.raises(ConfigurationError) as info:
            configure(path, environment)
        assert SECRET[:9] not in str(info.value) + repr(info.value) + repr(info.value.to_dict())


# -- mistakes ----------------------------------------------------------------------------------------------------------
def test_all_mistakes_are_told_at_once_each_with_its_place(write):
    path = write(
        """host = ""
http_prot = 8000
workers = "two"
max_body = -3   # of another sign
tls_key = "k.pem"
[models.iris]
max_bach = 3
canary = {2 = 0.7, 3 = 0.6}
pad = {time = [
  8,
  "x"]}
[models.iris.shadow]
3 = 1.5
[[tokens]]
nane = "x"
secret_env = "B"
"""
    )
    environment = {"INTERCHANGE_SERVE_IDLE_SECONDS": "soon", "INTERCHANGE_SERVE_GRPC_PROT": "1", "B": SECRET}
    found = problems(path, environment, {"hang_seconds": "0"}, ["models.iris.cache = -1", "nonsense"])
    assert sorted(found) == sorted(
        [
            ("IX673", "serve.toml:1"),
            ("IX671", "serve.toml:2"),
            ("IX672", "serve.toml:3"),
            ("IX673", "serve.toml:4"),
            ("IX674", "serve.toml:5"),
            ("IX671", "serve.toml:7"),
            ("IX674", "serve.toml:8"),
            ("IX672", "serve.toml:9"),
            ("IX673", "serve.toml:13"),
            ("IX671", "serve.toml:15"),
            ("IX672", "INTERCHANGE_SERVE_IDLE_SECONDS"),
            ("IX671", "INTERCHANGE_SERVE_GRPC_PROT"),
            ("IX673", "--hang-seconds"),
            ("IX673", "--set models.iris.cache"),
            ("IX670", "--set"),
        ]
    )


@pytest.mark.parametrize(
    ("key", "near"), [("http_prot", "http_port"), ("drain", None), ("drain_second", "drain_seconds")]
)
def test_a_key_that_is_nearly_one_is_proposed(write, key, near):
    with pytest.raises(ConfigurationError) as info:
        configure(write(f"{key} = 1"))
    assert ("did you mean" in info.value.fix) == (near is not None)
    assert near is None or near in info.value.fix


@pytest.mark.parametrize("text", ["a = ", "[x", "\x00", "a = 1\na = 2"])
def test_a_file_that_is_no_toml(write, text):
    assert {c for c, _ in problems(write(text))} == {"IX670"}


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    assert problems(tmp_path / "gone.toml") == [("IX670", "--config")]
    assert problems(tmp_path) == [("IX670", "--config")]
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    assert problems(None, {"INTERCHANGE_SERVE_CONFIG": str(path)}) == [("IX670", "INTERCHANGE_SERVE_CONFIG")]


@pytest.mark.parametrize(
    "line",
    [
        "http_port = 65536",
        "grpc_port = -1",
        "workers = 0",
        "uds_mode = 0",
        "uds_mode = 660",
        "watch_seconds = 0",
        "hang_seconds = nan",
        "drain_seconds = inf",
        "stop_seconds = -1",
        "max_body = 0",
        "idle_seconds = 0",
        "defaults.max_batch = 0",
        "defaults.max_queue = 0",
        "defaults.timeout_ms = 0",
        "defaults.threads = 0",
        "defaults.instances = 100000",
        "defaults.cache = -1",
        "defaults.versions = 0",
        "defaults.versions = [0]",
        "defaults.pad = {time = [0]}",
        "defaults.shadow = {2 = 1.5}",
        "defaults.canary = {latest = 0.5}",
        "models.'../x' = {}",
        "otlp_endpoint = 'collector'",
    ],
)
def test_values_that_make_no_sense(write, line):
    assert problems(write(line)) == [("IX673", "serve.toml:1")]


@pytest.mark.parametrize(
    "text",
    [
        "http_port = 'none'\ngrpc_port = 'none'",
        "http_port = 9000\ngrpc_port = 9000",
        "tls_certificate = 'c.pem'",
        "models.a = {canary = {1 = 0.9, 2 = 0.2}}",
        "models.a = {versions = [1], canary = {2 = 0.2}}",
        "models.a = {batching = false, max_delay_ms = 1}",
        "models.a = {}\npipelines.a = 'a.toml'",
    ],
)
def test_settings_that_do_not_go_together(write, text):
    assert [code for code, _ in problems(write(text))] == ["IX674"]


@pytest.mark.parametrize(
    "line",
    [
        "http_port = 80.5",
        "http_port = '80'",
        "page = 1",
        "workers = true",
        "host = 5",
        "defaults = 5",
        "models = []",
        "models.a = 5",
        "tokens = {}",
        "defaults.execution = 'fast'",
        "defaults.versions = 'some'",
        "defaults.labels = 'a'",
        "defaults.timeout_ms = 'never'",
        "defaults.pad = {a = 5}",
        "uds = ''",
    ],
)
def test_values_of_another_type(write, line):
    assert problems(write(line)) == [("IX672", "serve.toml:1")]


def test_settings_that_were_made_in_python_are_checked_as_well():
    assert checked(Settings()) == Settings()
    with pytest.raises(ConfigurationError) as info:
        checked(Settings(http_port=70000, models={"iris": ModelSettings(max_batch=0)}))
    assert [(p.code, p.where) for p in info.value.problems] == [
        ("IX673", "http_port"),
        ("IX673", "models.iris.max_batch"),
    ]


# -- the dataclasses are the one list ----------------------------------------------------------------------------------
@pytest.mark.parametrize("cls", [Settings, ModelSettings])
def test_every_field_says_what_it_means(cls):
    assert meanings(cls).keys() == hints(cls).keys()
    assert all(len(text) > 5 for text in meanings(cls).values())


def test_every_setting_of_the_server_can_be_given_by_the_environment():
    texts = {int: "900", float: "7.5", bool: "no", str: "http://x"}
    for name, hint in hints(Settings).items():
        if is_simple(hint):
            kind = next((k for k in texts if k in getattr(hint, "__args__", (hint,))), None)
            text = "384" if name == "uds_mode" else texts.get(kind, "p.pem")
            variables = {f"INTERCHANGE_SERVE_{name.upper()}": text}
            if name.startswith("tls"):
                variables |= {f"INTERCHANGE_SERVE_TLS_{n}": text for n in ("KEY", "CERTIFICATE")}
            assert str(getattr(configure(None, variables), name)) == ("False" if kind is bool else text), name


def test_another_process_gets_the_same_settings():
    settings = Settings(
        grpc_port=None,
        tokens=(Token(secret=SECRET, models=("a",)),),
        defaults=ModelSettings(max_batch=3, timeout_ms=None),
        models={"a": ModelSettings(versions="all"), "b": ModelSettings(versions=(1, 2), pad={"t": (1, 2)})},
    )
    assert from_plain(to_plain(settings)) == settings
    for field in dataclasses.fields(Settings):
        assert type(getattr(from_plain({}), field.name)) is type(getattr(Settings(), field.name))


@pytest.mark.parametrize("cls", [Settings, ModelSettings])
def test_the_guide_has_every_setting(cls):
    guide = (ROOT / "docs" / "serving_operation.md").read_text(encoding="utf-8")
    rows = "".join(line.split("|")[1] for line in guide.splitlines() if line.startswith("| `"))
    assert [name for name in hints(cls) if f"`{name}`" not in rows] == []
