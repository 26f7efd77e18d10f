//! `cutrickle list`: lists the built-in processors with their parameters, and the templates of `new`.

use std::fmt::Write;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use cutrickle_worker::Failure;
use serde_json::Value;

use crate::output::print;
use crate::processors::Name;
use crate::templates::Template;

/// The arguments of `cutrickle list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object. It has the JSON schema of each processor's parameters.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Entry {
    name: String,
    about: String,
    /// The JSON schema of the parameters, for a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<Value>,
}

#[derive(serde::Serialize)]
struct List {
    templates: Vec<Entry>,
    processors: Vec<Entry>,
}

/// Prints the templates and the processors.
pub fn run(args: &Args) -> Result<(), Failure> {
    let list = List {
        templates: Template::value_variants().iter().map(|template| entry(template, None)).collect(),
        processors: Name::value_variants()
            .iter()
            .map(|name| entry(name, Some(name.params_schema())))
            .collect(),
    };
    if args.json {
        return print(serde_json::to_string_pretty(&list)? + "\n");
    }
    print(
        section("Templates (cutrickle new NAME --template TEMPLATE):", &list.templates)
            + &section("Processors (cutrickle serve --processor PROCESSOR):", &list.processors),
    )
}

fn entry(value: &impl ValueEnum, params: Option<Value>) -> Entry {
    let value = value.to_possible_value();
    let about = value.as_ref().and_then(PossibleValue::get_help).map(ToString::to_string);
    let name = value.as_ref().map(PossibleValue::get_name).unwrap_or_default().to_owned();
    Entry { name, about: about.unwrap_or_default(), params }
}

/// One line for each entry, and one for each of its parameters.
fn section(title: &str, entries: &[Entry]) -> String {
    let mut text = format!("{title}\n");
    for Entry { name, about, params } in entries {
        let _ = writeln!(text, "  {name:<18}{about}");
        let properties = params.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        for (name, property) in properties.into_iter().flatten() {
            let values = params.as_ref().map(|schema| values(schema, property)).unwrap_or_default();
            let _ = writeln!(text, "      {name:<14}{values}");
        }
    }
    text
}

/// The values that a parameter takes, in words: `number from 0 to 1, default 0.4`.
fn values(schema: &Value, property: &Value) -> String {
    // An enum is described in one place, and referred to from here.
    let named = property.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
    let of = named.and_then(|path| schema.pointer(path)).unwrap_or(property);
    let words: Vec<_> = choices(of).iter().map(|word| format!("`{word}`")).collect();
    let mut text = match of.get("type").and_then(Value::as_str) {
        _ if !words.is_empty() => words.join(" or "),
        Some("boolean") => "true or false".to_owned(),
        Some(kind) => kind.to_owned(),
        None => "any".to_owned(),
    };
    for (key, word) in [("minimum", "from"), ("maximum", "to")] {
        if let Some(bound) = of.get(key).and_then(Value::as_f64) {
            let _ = write!(text, " {word} {bound}");
        }
    }
    match property.get("default") {
        Some(Value::Number(number)) => {
            let _ = write!(text, ", default {}", number.as_f64().unwrap_or_default());
        }
        Some(Value::String(word)) => {
            let _ = write!(text, ", default `{word}`");
        }
        Some(default) => {
            let _ = write!(text, ", default {default}");
        }
        None => {}
    }
    text
}

/// The words that an enum consists of.
fn choices(schema: &Value) -> Vec<&str> {
    let plain = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    // Where the variants have descriptions, each has a schema of its own.
    let described = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    plain.chain(described.filter_map(|one| one.get("const"))).filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_values_of_a_parameter_are_said_in_words() {
        let schema =
            json!({ "$defs": { "When": { "oneOf": [{ "const": "quiet" }, { "const": "active" }] } } });
        for (property, wanted) in [
            (
                json!({ "type": "number", "minimum": 0.0, "maximum": 1.0, "default": 0.4 }),
                "number from 0 to 1, default 0.4",
            ),
            (json!({ "type": "boolean", "default": false }), "true or false, default false"),
            (json!({ "$ref": "#/$defs/When", "default": "quiet" }), "`quiet` or `active`, default `quiet`"),
            (json!({ "type": "string", "enum": ["a", "b"] }), "`a` or `b`"),
            (json!({}), "any"),
        ] {
            assert_eq!(values(&schema, &property), wanted);
        }
    }
}
