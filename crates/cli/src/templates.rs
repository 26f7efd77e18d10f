//! The templates of `cutrickle new`: the files under `templates/`, with a few words filled in. Writing them
//! to disk is left to the command.

use cutrickle_worker::Failure;

/// What a new worker does at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Template {
    /// Pass frames through unchanged.
    Passthrough,
    /// Run a neural network (candle) with weights from a file on every frame.
    CandleModel,
    /// Send data about frames on the stream's data channel.
    Analytics,
    /// Change the volume of the audio by a parameter.
    Audio,
}

/// Where a new worker gets CuTrickle from.
#[derive(Debug)]
pub enum Dependency {
    /// The registry, in this version.
    Version(String),
    /// A git repository, at a tag.
    Repository {
        /// Where to clone it from.
        url: String,
        /// The name of the tag.
        tag: String,
    },
    /// The repository in this folder, which is an absolute path.
    Sources(String),
}

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../templates/", $path))
    };
}

static WEIGHTS: &[u8] = include_bytes!("../templates/candle-model/model.safetensors");

impl Template {
    fn processor(self) -> &'static str {
        match self {
            Self::Passthrough => template!("passthrough/processor.rs"),
            Self::CandleModel => template!("candle-model/processor.rs"),
            Self::Analytics => template!("analytics/processor.rs"),
            Self::Audio => template!("audio/processor.rs"),
        }
    }

    /// The files of the crate, each with its path and its content.
    ///
    /// # Errors
    /// A text cannot be written as JSON, which does not happen.
    pub fn files(
        self,
        name: &str,
        about: &str,
        dependency: &Dependency,
    ) -> Result<Vec<(&'static str, Vec<u8>)>, Failure> {
        let words = Words::new(name, about, dependency)?;
        let mut files = vec![
            ("Cargo.toml", words.fill(template!("crate/Cargo.toml.in"))),
            ("README.md", words.fill(template!("crate/README.md.in"))),
            ("Dockerfile", words.fill(template!("crate/Dockerfile.in"))),
            ("Dockerfile.cuda", words.fill(template!("crate/Dockerfile.cuda.in"))),
            (".dockerignore", template!("crate/dockerignore").into()),
            (".gitignore", template!("crate/gitignore").into()),
            ("src/main.rs", template!("crate/main.rs").into()),
            ("src/processor.rs", self.processor().into()),
        ];
        if self == Self::CandleModel {
            files.push(("weights/model.safetensors", WEIGHTS.into()));
        }
        Ok(files)
    }
}

/// What a container has to have of the repository for the new crate to be built in it. Of crates that are not
/// built, cargo reads the manifests.
const PARTS: [&str; 5] = ["Cargo.toml", "crates", "testing", "examples", "benches"];

/// What is filled in: the text for each `{{word}}`.
struct Words([(&'static str, String); 5]);

impl Words {
    fn new(name: &str, about: &str, dependency: &Dependency) -> Result<Self, Failure> {
        // A JSON string is also a string of TOML, and of COPY in a Dockerfile.
        let quoted = |text: &str| serde_json::to_string(text);
        let (dependency, copy, context) = match dependency {
            Dependency::Version(version) => (quoted(version)?, String::new(), String::new()),
            Dependency::Repository { url, tag } => {
                let dependency = format!("{{ git = {}, tag = {} }}", quoted(url)?, quoted(tag)?);
                (dependency, String::new(), String::new())
            }
            Dependency::Sources(root) => {
                let mut copy = String::new();
                for part in PARTS {
                    let to = quoted(&format!("{root}/{part}"))?;
                    copy += &format!("COPY --from=cutrickle [{}, {to}]\n", quoted(part)?);
                }
                let path = quoted(&format!("{root}/crates/cutrickle"))?;
                (
                    format!("{{ path = {path} }}"),
                    copy,
                    format!("--build-context cutrickle={} ", quoted(root)?),
                )
            }
        };
        Ok(Self([
            ("{{name}}", name.to_owned()),
            ("{{about}}", about.to_owned()),
            ("{{copy}}", copy),
            ("{{context}}", context),
            ("{{dependency}}", dependency),
        ]))
    }

    fn fill(&self, template: &str) -> Vec<u8> {
        self.0.iter().fold(template.to_owned(), |text, (word, with)| text.replace(word, with)).into_bytes()
    }
}
