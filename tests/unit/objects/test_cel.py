"""CEL expressions: what they give, how they fail, what the compiler says of them, and what they cost."""

import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from minikube_py.objects.cel.engine import CelError, CelType, CostExceeded, Environment, EvaluationError
from minikube_py.objects.cel.library.authorization import AUTHORIZER, Access, AuthorizerValue
from minikube_py.objects.cel.values import DYN, LazyMap

X = {"a": "hello", "b": [1, 2, 3], "m": {"k": "v"}, "q": "500m", "n": None}
ENVIRONMENT = Environment({"x": DYN, "list": CelType("list", (CelType("int"),)), "authorizer": CelType(AUTHORIZER)})


def evaluate(text: str, **more: Any) -> Any:
    return ENVIRONMENT.compile(text).evaluate({"x": X, "list": [1, 2, 3], **more})


VALUES = [
    ("x.a + ' w'", "hello w"),
    ("1 + 2 * 3 - 7 / -2", 10),
    ("-1 % 3", -1),
    ("1u + 2u == 3u && 1 < 2.5 && dyn(1) == 1.0", True),
    ("x.b.all(i, i > 0) && x.b.exists(i, i > 2) && x.b.exists_one(i, i == 2)", True),
    ("x.b.map(i, i > 1, i * 2)", [4, 6]),
    ("x.b.filter(i, i > 1)", [2, 3]),
    ("x.b.all(i, v, v > i)", True),
    ("x.b.transformList(i, v, v > 1, v + i)", [3, 5]),
    ("{'a': 1, 'b': 2}.transformMap(k, v, v + 1)", {"a": 2, "b": 3}),
    ("{'a': 1}.transformMapEntry(k, v, {k + 'x': v})", {"ax": 1}),
    ("x.?zz.orValue('z') + x.?m.?k.value()", "zv"),
    ("x.?zz.q.hasValue()", False),
    ("[?x.?zz, ?x.?a]", ["hello"]),
    ("{?'a': optional.none(), 'b': 2}", {"b": 2}),
    ("optional.of(1).or(optional.none()).value()", 1),
    ("optional.of({'a': 1}).optMap(y, y.a).orValue(0)", 1),
    ("has(x.m.k) && !has(x.m.z) && x.n == null", True),
    ("false && x.zz || x.zz || true", True),
    ("[0, 1].exists(i, 1 / i > 0)", True),
    ("quantity('1Ki').isGreaterThan(quantity('1k')) && quantity(x.q) == quantity('0.5')", True),
    ("quantity('1.5').add(2).sub(quantity('500m')).asInteger()", 3),
    ("quantity('50k').compareTo(quantity('50M')) == -1 && quantity('-1').sign() == -1", True),
    ("ip('192.168.0.1').family() == 4 && ip('::1').isLoopback() && !isIP('1.2.3')", True),
    ("cidr('192.168.0.0/24').containsIP('192.168.0.7') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))", True),
    ("cidr('10.0.0.1/8').masked().ip() == ip('10.0.0.0') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", True),
    ("ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')", True),
    ("string(ip('10.0.0.1')) + string(cidr('10.0.0.0/8').prefixLength())", "10.0.0.18"),
    ("url('https://a.b:80/p?x=1&x=2').getQuery()['x']", ["1", "2"]),
    ("url('https://[::1]:80/').getHostname() + url('https://[::1]:80/').getPort()", "::180"),
    ("semver('1.2.3-rc.1').isLessThan(semver('1.2.3')) && semver('v01.02', true).minor() == 2", True),
    ("isSemver('1.2') || isSemver('1.2.3+b')", True),
    ("'%s is %d, %.2f, %x, %s'.format(['a', 3, 1.5, 255, [1, 2]])", "a is 3, 1.50, ff, [1, 2]"),
    ("['a', 'b'].isSorted() && [1, 2, 3].sum() == 6 && [4, 5].max() == 5 && list.indexOf(2) == 1", True),
    ("sets.contains([1, 2], [1]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])", True),
    ("'a1b2'.findAll('[0-9]') + ['x'.find('y')]", ["1", "2", ""]),
    ("'tacocat'.substring(4).upperAscii() + ' x '.trim() + 'a,b'.split(',').join('-')", "CATxa-b"),
    ("'aaa'.replace('a', 'b', 2) + string('abc'.lastIndexOf('c')) + 'abc'.charAt(1)", "bba2b"),
    ("format.dns1123Label().validate('A_B').hasValue() && format.named('nope') == optional.none()", True),
    ("duration('1h30m').getMinutes() + timestamp('2020-03-01T00:00:00Z').getDayOfYear()", 150),
    ("timestamp('2020-01-01T00:00:00Z') + duration('24h')", datetime(2020, 1, 2, tzinfo=UTC)),
    ("string(timestamp('2020-01-01T00:00:00.5Z')) + string(duration('90m'))", "2020-01-01T00:00:00.5Z5400s"),
    ("type(1) == int && type(x) == map && type('') != int", True),
    ("image('localhost:5000/a/b:v1').registry() + image('nginx').repository()", "localhost:5000library/nginx"),
    ("'a/b~c' in {'a/b~c': 1} && 2 in x.b && !('z' in x.m)", True),
    ("strings.quote('a\"b') + string(1.0) + string(true)", '"a\\"b"1true'),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values(text: str, value: Any) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x.zz", "no such key: zz"),
        ("x.b[7]", "index out of bounds: 7"),
        ("1 / 0", "division by zero"),
        ("x.a > 1", "no such overload"),
        ("x.a ? 1 : 2", "no such overload"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("x.zz && true", "no such key: zz"),
        ("[0, 1].all(i, 1 / i > 0)", "division by zero"),
        ("optional.none().value()", "optional.none() dereference"),
        ("quantity('x')", "quantities must match the regular expression"),
        ("'aaaa'.replace('', 'b'.replace('b', x.a)).size() > 0 && x.zz", "no such key: zz"),
        ("has(x.zz.q)", "no such key: zz"),
    ],
)
def test_errors(text: str, error: str) -> None:
    with pytest.raises(EvaluationError, match="^" + error.replace("(", r"\(").replace(")", r"\)")):
        evaluate(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1 + 'a'", "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n"
                    " | 1 + 'a'\n | ..^"),
        ("foo", "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo\n | ^"),
        ("true &&\n  foo.bar", "ERROR: <input>:2:3: undeclared reference to 'foo' (in container '')\n"
                               " |   foo.bar\n | ..^"),
        ("[1, 'a']", "expected type 'int' but found 'string'"),
        ("'a'.foo()", "undeclared reference to 'foo' (in container '')"),
        ("list.all(i, i == 'a')", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("list.foo", "type 'list(int)' does not support field selection"),
        ("1.all(i, true)", None),
        ("quantity(1)", "found no matching overload for 'quantity' applied to '(int)'"),
        ("'a'.matches('(')", "invalid matches argument"),
        ("duration('zz')", "invalid duration argument"),
        ("x.", "Syntax error"),
        ("authorizer.check('get')", "found no matching overload for 'check'"),
    ],
)  # fmt: skip
def test_compile_errors(text: str, error: str | None) -> None:
    with pytest.raises(CelError) as caught:
        ENVIRONMENT.compile(text)
    assert error is None or error in str(caught.value)


def test_types() -> None:
    kinds = {"x.a": "dyn", "x.b.map(i, i + 1)": "list(int)", "{'a': [1]}": "map(string, list(int))", "has(x.a)": "bool"}
    assert {text: str(ENVIRONMENT.compile(text).type) for text in kinds} == kinds


def test_costs_are_counted_and_end_an_expression() -> None:
    program = ENVIRONMENT.compile("x.l.all(a, x.l.all(b, a == b || a != b))")
    assert program.measure({"x": {"l": [1, 2]}})[1] < 100
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({"x": {"l": list(range(3000))}})


@pytest.mark.parametrize("text", ["x.s.replace('', x.s).size() > 0", "'%.1000001f'.format([1.0]) != ''"])
def test_a_result_too_large_is_never_made(text: str) -> None:
    with pytest.raises(EvaluationError, match="too l"):
        evaluate(text, x={"s": "a" * 100_000})


def test_logical_operators_do_not_absorb_the_end_of_the_budget() -> None:
    program = ENVIRONMENT.compile("x.l.all(a, x.l.all(b, x.l.all(c, true))) || true")
    with pytest.raises(CostExceeded):
        program.evaluate({"x": {"l": list(range(300))}})


def test_lazy_maps_compute_what_is_asked_for() -> None:
    asked: list[str] = []

    class Variables(LazyMap):
        def select(self, key: str) -> Any:
            asked.append(key)
            return 1

        def names(self) -> frozenset[str]:
            return frozenset(("a", "b"))

    assert evaluate("has(x.a) && (x.a == 1 || x.b == 1)", x=Variables()) is True
    assert asked == ["a"]


def test_the_authorizer_is_asked_for_what_was_built() -> None:
    questions: list[Access] = []

    def ask(access: Access) -> tuple[bool, str]:
        questions.append(access)
        return access.name == "b", "because"

    def answer(text: str) -> Any:
        return evaluate(text, authorizer=AuthorizerValue(ask))

    check = "authorizer.group('apps').resource('d').subresource('s').namespace('n').name('b').check('get')"
    assert answer(f"{check}.allowed()") is True
    assert answer("authorizer.path('/x').check('get').reason()") == "because"
    assert answer("authorizer.serviceAccount('ns', 'sa').group('').resource('p').check('list').allowed()") is False
    assert questions == [
        Access("get", group="apps", resource="d", subresource="s", namespace="n", name="b"),
        Access("get", path="/x"),
        Access("list", resource="p", service_account="ns:sa"),
    ]
    with pytest.raises(CostExceeded):
        answer(f"{check}.allowed() && {check}.allowed() && {check}.allowed()")


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    with pytest.raises(CelError):
        ENVIRONMENT.compile("(" * 2000 + "1" + ")" * 2000)
    with pytest.raises(CelError):
        ENVIRONMENT.compile("!" * 1001 + "true" + " + 1" * 3000)


def test_without_a_parser_nothing_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(CelError, match="no CEL evaluator is installed for this platform"):
        ENVIRONMENT.compile("true")


@pytest.mark.parametrize(("name", "is_null"), [("a", False), ("A_", False)])
def test_optionals_can_be_held_against_null(name: str, is_null: bool) -> None:
    text = "format.dns1123Label().validate(self) == null"
    assert Environment({"self": CelType("string")}).compile(text).evaluate({"self": name}) is is_null
