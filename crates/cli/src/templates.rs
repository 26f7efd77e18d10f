//! The templates of `cutrickle new`: the files under `templates/`, with a few words filled in. Writes nothing.

use crate::failure::Failure;

/// What a new worker does to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Template {
    /// Pictures go out as they came.
    Passthrough,
    /// A candle network with weights from a file, on every picture.
    CandleModel,
    /// Data about pictures, on the stream's data channel.
    Analytics,
    /// Sound changed, with a parameter.
    Audio,
}

/// Where a new worker takes CuTrickle from.
#[derive(Debug)]
pub enum Dependency {
    /// A registry.
    Version(String),
    /// The repository in this folder, an absolute path.
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

    /// The crate's files: path and content.
    ///
    /// # Errors
    /// None for text that JSON can hold.
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

/// What is filled in: for each `{{word}}` its text.
struct Words([(&'static str, String); 5]);

impl Words {
    fn new(name: &str, about: &str, dependency: &Dependency) -> Result<Self, Failure> {
        // A string of JSON is one of TOML, and of a Dockerfile's COPY.
        let quoted = |text: &str| serde_json::to_string(text);
        let (dependency, copy, context) = match dependency {
            Dependency::Version(version) => (quoted(version)?, String::new(), String::new()),
            Dependency::Sources(root) => {
                let mut copy = String::new();
                for part in ["Cargo.toml", "crates", "kernels", "examples", "benches", "assets", "docs"] {
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
