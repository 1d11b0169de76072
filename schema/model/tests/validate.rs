//! `ConfigDef` against `testdata/validate.txt`.

use riverrun_model::config::{Check, ConfigDef, Group, Key, Secret};

static INT: Key<i32> = Key::int("int").default("1").check(Check::Range { min: Some(1), max: None });
static LONG: Key<i64> = Key::long("long").default("0");
static SHORT: Key<i32> = Key::short("short").default("3");
static BOOLEAN: Key<bool> = Key::boolean("boolean").default("false");
static ENUM: Key<String> =
    Key::string("enum").default("none").check(Check::OneOf(&["none", "all"]));
static ANYCASE: Key<String> = Key::string("anycase")
    .default("requested")
    .check(Check::OneOfAnyCase(&["REQUIRED", "REQUESTED"]));
static NAME: Key<String> = Key::string("name").default("n").check(Check::Name);
static TEXT: Key<String> = Key::string("text").check(Check::NonEmpty);
static LIST: Key<Vec<String>> = Key::list("list").default("").check(Check::Unique);
static PASSWORD: Key<Secret> = Key::password("password").default_null();
static LATER: Key<String> = Key::string("later").default("now").unsupported();

static DEF: ConfigDef = ConfigDef(&[Group {
    name: "",
    keys: &[
        &INT.spec,
        &LONG.spec,
        &SHORT.spec,
        &BOOLEAN.spec,
        &ENUM.spec,
        &ANYCASE.spec,
        &NAME.spec,
        &TEXT.spec,
        &LIST.spec,
        &PASSWORD.spec,
        &LATER.spec,
    ],
}]);

#[test]
fn texts_equal_kafkas() {
    let text = include_str!("../testdata/validate.txt");
    let mut played = 0;
    for case in text.trim_end().split("\n\n").filter(|case| !case.starts_with('#')) {
        let (request, expected) = case.split_once("\n----\n").unwrap();
        let (key, value) = request.split_once(' ').unwrap();
        let value = if value == "\"\"" { "" } else { value };
        let given = Some((key, value)).filter(|_| value != "-");
        let infos = DEF.validate("", given);
        let config = infos.configs.iter().find(|config| config.value.name == key).unwrap();
        let shown = config.value.value.clone().unwrap_or_else(|| "null".to_owned());
        let mut answer = vec![if shown.is_empty() { "\"\"".to_owned() } else { shown }];
        answer.extend(config.value.errors.iter().cloned());
        assert_eq!(answer.join("\n"), expected, "{request}");
        played += 1;
    }
    assert_eq!(played, 20);
}

/// What a worker does with a checked configuration.
#[test]
fn a_parsed_configuration_is_read_by_its_keys() {
    let given = [("text", " a "), ("int", "5"), ("list", "x, y"), ("other.key", "kept")];
    let config = DEF.parse(given).unwrap();
    assert_eq!(config.get(&TEXT), "a");
    assert_eq!(config.get(&INT), 5);
    assert_eq!(config.get(&LIST), ["x", "y"]);
    assert!(config.find(&PASSWORD).is_none());
    assert_eq!(config.prop("other.key"), Some("kept"));
    let wrong = DEF.parse([("text", "a"), ("int", "0")]).err().unwrap();
    assert_eq!(wrong, ["Invalid value 0 for configuration int: Value must be at least 1"]);
}

/// What the definition has, what a connector asks for by name, families of keys and the worker's own
/// keys are known; all else may be a slip of the pen.
#[test]
fn unknown_keys_are_told() {
    static LIST: Key<String> = Key::string("table.include.list").default_null();
    static DEF: ConfigDef = ConfigDef(&[Group { name: "Tables", keys: &[&LIST.spec] }]);
    let given = [
        ("name", "shop"),
        ("key.converter.schemas.enable", "false"),
        ("table.include.list", "a"),
        ("table.inclde.list", "b"),
        ("column.mask.with.3.chars", "c"),
        ("topic.heartbeat.name", "d"),
    ];
    let config = DEF.parse(given).unwrap();
    assert_eq!(config.unknown(&["column."]), ["table.inclde.list", "topic.heartbeat.name"]);
    assert_eq!(config.prop("topic.heartbeat.name"), Some("d"));
    assert_eq!(config.unknown(&["column."]), ["table.inclde.list"]);
}
