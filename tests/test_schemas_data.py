"""The shipped data files say what the installed onnx and onnxruntime say."""

import gzip
import json
import subprocess
import sys

import onnx
import pytest

from interchange import schemas
from interchange.dtypes import to_onnx
from interchange.schemas import allowed, data, dump
from interchange.schemas.typetext import to_dtype


def shipped_rows(only=lambda domain: True):
    types = data.structure()["types"]
    for domain, operators in data.structure()["operators"].items():
        for name, versions in operators.items():
            for row in versions:
                if only(domain):
                    yield (domain, name, row[0]), [*row[:5], [[v, types[i]] for v, i in row[5]], row[6]]


@pytest.fixture(scope="module")
def installed():
    table = dump.rows(dump.schemas())
    plain = json.loads(json.dumps(table))
    return {(d, name, row[0]): row for d, names in plain.items() for name, rows in names.items() for row in rows}


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_shipped_data_equals_the_installed_package(installed, package):
    def of_package(domain):
        return (domain in dump.RUNTIME_DOMAINS) == (package == "onnxruntime")

    shipped = dict(shipped_rows(of_package))
    actual = {key: row for key, row in installed.items() if of_package(key[0])}
    if dump.installed_versions()[package] == data.structure()["from"][package]:
        assert shipped == actual
    else:  # another release may correct an old version's details, not its inputs, outputs and attributes
        common = shipped.keys() & actual.keys()
        assert len(common) > 100

        def names(row):
            return [[entry[0] for entry in row[i]] for i in (2, 3, 4)]

        assert {key: names(shipped[key]) for key in common} == {key: names(actual[key]) for key in common}


def test_all_of_onnx_is_there():
    counts = {d: sum(len(v) for v in names.values()) for d, names in data.structure()["operators"].items()}
    assert sum(n for d, n in counts.items() if d != "com.microsoft") >= 659
    assert counts["com.microsoft"] >= 100
    assert set(counts) == {"", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training", "com.microsoft"}


def test_dump_is_deterministic(tmp_path, capsys):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        dump.main(folder)
    for name in ("operators.json.gz", "docs.json.gz"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert (first / name).read_bytes()[4:8] == b"\0\0\0\0"  # gzip's time stamp
    if dump.installed_versions() == data.structure()["from"]:
        for name in ("operators.json.gz", "docs.json.gz"):
            ours = gzip.decompress((data.FOLDER / name).read_bytes())
            assert gzip.decompress((first / name).read_bytes()) == ours


def test_look_up_imports_no_onnx_and_reads_no_documentation():
    code = (
        "import sys; from interchange import schemas; from interchange.schemas import data\n"
        "schemas.schema('Conv', 17).check_attributes({}); schemas.resolve('onnxruntime>=1.18')\n"
        "assert not {'onnx', 'onnxruntime', 'rich', 'click'} & set(sys.modules), 'heavy import'\n"
        "assert data._docs.cache_info().currsize == 0\n"
        "assert schemas.schema('Conv').doc and data._docs.cache_info().currsize == 1\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def every_schema():
    for domain in schemas.domains():
        for name in data.structure()["operators"].get(domain, {}):
            for version in schemas.versions(name, domain):
                yield schemas.registry._version(domain, name, version)


def test_schema_objects_equal_onnx_defs():
    for schema in every_schema():
        if schema.domain == "com.microsoft":
            continue
        try:
            theirs = onnx.defs.get_schema(schema.name, schema.since, schema.domain)
        except onnx.defs.SchemaError:
            continue  # not in an older onnx
        assert [(f.name, f.type) for f in schema.inputs] == [(f.name, f.type_str) for f in theirs.inputs]
        assert (schema.min_inputs, schema.max_inputs) == (theirs.min_input, theirs.max_input)
        assert schema.deprecated == theirs.deprecated
        for name, attribute in schema.attributes.items():
            assert attribute.required == theirs.attributes[name].required
            assert attribute.type == theirs.attributes[name].type.name.lower()


def test_documentation_is_that_of_its_object():
    conv = schemas.schema("Conv", 17)
    theirs = onnx.defs.get_schema("Conv", 17)
    assert conv.doc.split() == theirs.doc.split()
    assert conv.inputs[2].doc.split() == theirs.inputs[2].description.split()
    assert conv.outputs[0].doc.split() == theirs.outputs[0].description.split()
    assert conv.attributes["group"].doc.split() == theirs.attributes["group"].description.split()


def test_defaults_are_readable_and_the_same_float32():
    import numpy as np

    assert schemas.schema("BatchNormalization").attributes["epsilon"].default == 1e-5
    for schema in every_schema():
        if schema.domain == "com.microsoft":
            continue
        theirs = onnx.defs.get_schema(schema.name, schema.since, schema.domain).attributes
        for name, attribute in schema.attributes.items():
            if attribute.type == "float" and attribute.default is not None:
                assert np.float32(attribute.default) == np.float32(theirs[name].default_value.f)


@pytest.mark.parametrize(("domain", "table"), list(allowed.TABLES.items()))
def test_every_allowed_entry_names_an_attribute(domain, table):
    for (operators, attribute), values in table.items():
        for name in operators.split():
            having = [
                version
                for version in schemas.versions(name, domain)
                if attribute in schemas.registry._version(domain, name, version).attributes
            ]
            assert having, f"{name} has no attribute {attribute} in any version"
            if isinstance(values, dict):
                assert set(values) <= {1, *schemas.versions(name, domain)}, f"{name}.{attribute}"


def test_every_flag_is_an_int_attribute_of_onnx():
    kinds = {}
    for schema in every_schema():
        if schema.domain == "":
            for attribute in schema.attributes.values():
                kinds.setdefault(attribute.name, set()).add(attribute.type)
    for name in allowed.FLAGS:
        assert kinds[name] <= {"int", "ints"}, name


def test_every_default_is_allowed_and_values_are_of_the_type():
    seen = 0
    for schema in every_schema():
        for attribute in schema.attributes.values():
            if attribute.allowed is None:
                continue
            seen += 1
            kind = {"int": int, "string": str, "float": float}[attribute.type.removesuffix("s")]
            assert all(type(v) is kind for v in attribute.allowed)
            default = attribute.default
            for value in () if default is None else default if isinstance(default, tuple) else (default,):
                assert value in attribute.allowed, f"{schema.title}.{attribute.name}"
    assert seen > 300


def test_values_quoted_in_the_texts_are_allowed():
    """The four values that ONNX's own text enumerates for auto_pad stand for all the tables."""
    text = schemas.schema("Conv").attributes["auto_pad"].doc
    values = schemas.schema("Conv").attributes["auto_pad"].allowed
    assert all(value in text for value in values)
    assert "wrap" not in schemas.schema("Pad", 18).attributes["mode"].allowed
    assert "wrap" in schemas.schema("Pad", 19).attributes["mode"].allowed
    assert schemas.schema("Resize", 12).attributes["coordinate_transformation_mode"].allowed != (
        schemas.schema("Resize", 13).attributes["coordinate_transformation_mode"].allowed
    )


def test_cast_may_give_every_type_of_its_output():
    cast = schemas.schema("Cast", 21)
    assert set(cast.attributes["to"].allowed) == {to_onnx(to_dtype(t)) for t in cast.type_constraints["T2"]}
    assert schemas.schema("QuantizeLinear", 21).attributes["output_dtype"].allowed[0] == 0  # 0: not given
