//! `cutrickle list`: what there is to start from, and to put between two streams.

use clap::ValueEnum;

use crate::failure::Failure;
use crate::output::print;
use crate::processors::Name;
use crate::templates::Template;

/// Arguments of `cutrickle list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Entry {
    name: String,
    about: String,
}

#[derive(serde::Serialize)]
struct List {
    templates: Vec<Entry>,
    processors: Vec<Entry>,
}

/// Prints templates and processors, a line each.
pub fn run(args: &Args) -> Result<(), Failure> {
    let list = List { templates: entries::<Template>(), processors: entries::<Name>() };
    if args.json {
        return print(serde_json::to_string_pretty(&list)? + "\n");
    }
    print(
        section("Templates (cutrickle new NAME --template TEMPLATE):", &list.templates)
            + &section("Processors (cutrickle serve --processor PROCESSOR):", &list.processors),
    )
}

fn section(title: &str, entries: &[Entry]) -> String {
    let mut text = format!("{title}\n");
    for Entry { name, about } in entries {
        text += &format!("  {name:<18}{about}\n");
    }
    text
}

fn entries<T: ValueEnum>() -> Vec<Entry> {
    let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let about = |value: &clap::builder::PossibleValue| value.get_help().map(ToString::to_string);
    values
        .map(|value| Entry { name: value.get_name().to_owned(), about: about(&value).unwrap_or_default() })
        .collect()
}
