//! As much of JSON Schema as our schemas in docs/ use. A keyword that is not checked here is
//! refused, so that the schema cannot promise what no test holds it to.

use serde_json::Value;

/// Panics where the document breaks its schema.
#[track_caller]
pub fn check(schema: &Value, document: &Value) {
    Checker { root: schema }.value(schema, document, "$");
}

struct Checker<'a> {
    root: &'a Value,
}

impl Checker<'_> {
    fn value(&self, schema: &Value, value: &Value, at: &str) {
        for (keyword, expected) in schema.as_object().unwrap() {
            match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" => {}
                "$ref" => {
                    let pointer = expected.as_str().unwrap().strip_prefix('#').unwrap();
                    self.value(self.root.pointer(pointer).unwrap(), value, at);
                }
                "const" => assert_eq!(value, expected, "{at}"),
                "enum" => assert!(
                    expected.as_array().unwrap().contains(value),
                    "{at}: {value}"
                ),
                "type" => assert!(
                    is_of_type(value, expected),
                    "{at}: {value} is no {expected}"
                ),
                "minimum" => {
                    let above = value
                        .as_i64()
                        .is_none_or(|value| value >= expected.as_i64().unwrap());
                    assert!(above, "{at}: {value} is below {expected}");
                }
                "required" => {
                    for name in expected.as_array().unwrap() {
                        assert!(
                            value.get(name.as_str().unwrap()).is_some(),
                            "{at} lacks {name}"
                        );
                    }
                }
                "properties" => self.properties(expected, schema, value, at),
                "additionalProperties" => {
                    for (name, value) in value.as_object().unwrap() {
                        self.value(expected, value, &format!("{at}.{name}"));
                    }
                }
                "items" => {
                    for (index, item) in value.as_array().unwrap().iter().enumerate() {
                        self.value(expected, item, &format!("{at}[{index}]"));
                    }
                }
                _ => panic!("the schema uses {keyword}, which no test checks"),
            }
        }
    }

    /// Every field that is there keeps to its schema, and is documented at all.
    fn properties(&self, documented: &Value, schema: &Value, value: &Value, at: &str) {
        for (name, value) in value.as_object().unwrap() {
            let at = format!("{at}.{name}");
            match documented.get(name) {
                Some(property) => self.value(property, value, &at),
                None => assert!(
                    schema.get("additionalProperties").is_some(),
                    "{at} is not documented"
                ),
            }
        }
    }
}

fn is_of_type(value: &Value, expected: &Value) -> bool {
    match expected {
        Value::Array(types) => types.iter().any(|one| is_of_type(value, one)),
        _ => match expected.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_u64() || value.is_i64(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("the schema uses type {other}, which no test checks"),
        },
    }
}
