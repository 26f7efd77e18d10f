//! `cutrickle new`: a crate for a worker of one's own. What is written is `templates`'s.

use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::failure::Failure;
use crate::output::print;
use crate::templates::{Dependency, Template};
use cutrickle_error::chain;

/// Arguments of `cutrickle new`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The crate's name, and the folder's.
    name: String,
    /// What the worker does to begin with.
    #[arg(long, value_enum, default_value_t = Template::Passthrough)]
    template: Template,
    /// Depend on the sources of CuTrickle in this folder.
    #[arg(long, value_name = "FOLDER", conflicts_with = "cutrickle_version")]
    cutrickle_path: Option<PathBuf>,
    /// Depend on this version of CuTrickle; this program's own if left out.
    #[arg(long, value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    cutrickle_version: String,
}

/// Names that cargo, the compiler or a dependency has taken.
const TAKEN: &str = "abstract alloc as async await become box break build const continue core crate cutrickle deps do \
dyn else enum examples extern false final fn for gen if impl in incremental let loop macro match mod move mut override \
priv proc-macro proc_macro pub ref return self static std struct super test tokio trait tracing-subscriber true try type \
typeof unsafe unsized use virtual where while yield";

/// Writes the crate, and says how to go on.
pub fn run(args: &Args) -> Result<(), Failure> {
    check(&args.name)?;
    let dependency = match &args.cutrickle_path {
        None => Dependency::Version(version(&args.cutrickle_version)?),
        Some(folder) => sources(folder)?,
    };
    let folder = Path::new(&args.name);
    let taken = |e: &str| Failure::because(format!("the folder {}", folder.display()), e);
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => return Err(taken("it is there already, and not empty")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(taken(&chain(&e).to_string())),
    }
    let about = args.template.to_possible_value().and_then(|v| v.get_help().map(ToString::to_string));
    for (path, content) in args.template.files(&args.name, &about.unwrap_or_default(), &dependency)? {
        let path = folder.join(path);
        let write = |path: &Path| {
            path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, content))
        };
        write(&path).map_err(|e| Failure::because(path.display(), e))?;
    }
    let name = &args.name;
    print(format_args!(
        "{name}: the worker is in {name}/src/processor.rs; cd {name} && cargo run --release -- 8000\n"
    ))
}

/// A name that is good for a crate, its program, its folder and its image.
fn check(name: &str) -> Result<(), Failure> {
    let wrong = |why: &str| Err(Failure::usage(format!("{name:?} is no name for a crate: {why}")));
    let bytes = name.as_bytes();
    let within = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if !bytes.iter().all(within) || bytes.len() > 64 {
        return wrong("up to 64 of a-z, 0-9, - and _ are wanted");
    }
    if !bytes.first().is_some_and(u8::is_ascii_lowercase)
        || !bytes.last().is_some_and(u8::is_ascii_alphanumeric)
    {
        return wrong("it begins with a letter, and ends with a letter or a digit");
    }
    if TAKEN.split(' ').any(|taken| taken == name) {
        return wrong("it is taken");
    }
    Ok(())
}

/// A version as cargo takes it, or a range of them.
fn version(text: &str) -> Result<String, Failure> {
    let within = |b: u8| b.is_ascii_alphanumeric() || b".+-*^~=<>, ".contains(&b);
    if text.bytes().all(within) && text.bytes().any(|b| b.is_ascii_digit() || b == b'*') {
        return Ok(text.to_owned());
    }
    Err(Failure::usage(format!(
        "--cutrickle-version {text:?}: a version is wanted, as {}",
        env!("CARGO_PKG_VERSION")
    )))
}

/// The sources in `folder`: the repository, or a folder in it that has the crate.
fn sources(folder: &Path) -> Result<Dependency, Failure> {
    let failed =
        |e: &dyn std::fmt::Display| Failure::usage(format!("--cutrickle-path {}: {e}", folder.display()));
    let root = folder.canonicalize().map_err(|e| failed(&chain(&e)))?;
    if !root.join("crates/cutrickle/Cargo.toml").is_file() {
        return Err(failed(&"there is no crates/cutrickle in it"));
    }
    let root = root.to_str().ok_or_else(|| failed(&"its name is not UTF-8"))?;
    Ok(Dependency::Sources(root.to_owned()))
}
