//! `cutrickle new`: creates a crate for a worker. The files that it consists of are in `templates`.

use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use cutrickle_error::chain;
use cutrickle_worker::Failure;

use crate::output::print;
use crate::templates::{Dependency, Template};

/// The arguments of `cutrickle new`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the crate and of its folder.
    name: String,
    /// Template to start from.
    #[arg(long, value_enum, default_value_t = Template::Passthrough)]
    template: Template,
    /// Depend on the sources of CuTrickle in this folder. By default, the crate depends on the sources that
    /// this program was built from if they are on this machine, and otherwise on the repository.
    #[arg(long, value_name = "FOLDER", conflicts_with = "cutrickle_version")]
    cutrickle_path: Option<PathBuf>,
    /// Depend on this version of CuTrickle from the registry.
    #[arg(long, value_name = "VERSION")]
    cutrickle_version: Option<String>,
}

/// Names that are used by cargo, the compiler or a dependency.
const TAKEN: &str = "\
abstract alloc as async await become box break build const continue core crate cutrickle deps do dyn \
else enum examples extern false final fn for gen if impl in incremental let loop macro match mod move \
mut override priv proc-macro proc_macro pub ref return self static std struct super test tokio trait \
true try type typeof unsafe unsized use virtual where while yield";

/// Writes the crate, and prints how to go on.
pub fn run(args: &Args) -> Result<(), Failure> {
    check(&args.name)?;
    let dependency = match (&args.cutrickle_path, &args.cutrickle_version) {
        (Some(folder), _) => sources(folder)?,
        (None, Some(wanted)) => Dependency::Version(version(wanted)?),
        (None, None) => own_sources(Path::new(env!("CARGO_MANIFEST_DIR"))),
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
        "{name}: the worker is in {name}/src/processor.rs; cd {name} && cargo run --release\n"
    ))
}

/// Checks that `name` can be the name of a crate, a program, a folder and an image.
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

/// A version or a range of versions in the syntax of cargo.
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

/// The sources in `folder`, which is the root of the repository.
fn sources(folder: &Path) -> Result<Dependency, Failure> {
    let failed =
        |e: &dyn std::fmt::Display| Failure::usage(format!("--cutrickle-path {}: {e}", folder.display()));
    let root = folder.canonicalize().map_err(|e| failed(&chain(&e)))?;
    if !is_repository(&root) {
        return Err(failed(&"there is no crates/cutrickle in it"));
    }
    let root = root.to_str().ok_or_else(|| failed(&"its name is not UTF-8"))?;
    Ok(Dependency::Sources(root.to_owned()))
}

/// The sources of this program, whose own crate was in the folder `manifest` when it was built: that folder's
/// repository if it is still there, and otherwise the public repository at the tag of this version.
fn own_sources(manifest: &Path) -> Dependency {
    let root = manifest.join("../..").canonicalize().ok().filter(|root| is_repository(root));
    match root.as_deref().and_then(Path::to_str) {
        Some(root) => Dependency::Sources(root.to_owned()),
        None => Dependency::Repository {
            url: env!("CARGO_PKG_REPOSITORY").to_owned(),
            tag: concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
        },
    }
}

fn is_repository(root: &Path) -> bool {
    root.join("crates/cutrickle/Cargo.toml").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_its_sources_a_new_worker_depends_on_the_repository() {
        assert!(matches!(own_sources(Path::new(env!("CARGO_MANIFEST_DIR"))), Dependency::Sources(_)));
        for gone in ["/nowhere/crates/cli", "/"] {
            let Dependency::Repository { url, tag } = own_sources(Path::new(gone)) else {
                panic!("there are sources in {gone}");
            };
            assert!(url.starts_with("https://") && tag == format!("v{}", env!("CARGO_PKG_VERSION")));
        }
    }
}
