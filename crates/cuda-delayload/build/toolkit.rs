//! Finds the CUDA toolkit, its version, and its static runtime. It is not an error if there is no toolkit;
//! the caller reports it if one is needed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// An installed CUDA toolkit.
pub(crate) struct Toolkit {
    root: PathBuf,
}

impl Toolkit {
    /// The variables that may point to a toolkit, in order of priority.
    const VARIABLES: [&str; 4] = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR"];

    /// Returns the toolkit that a variable points to, or else that of the `nvcc` on the PATH, or else the one
    /// in the usual location.
    pub(crate) fn find() -> Option<Self> {
        for variable in Self::VARIABLES.into_iter().chain(["PATH"]) {
            println!("cargo:rerun-if-env-changed={variable}");
        }
        let named = Self::VARIABLES.into_iter().filter_map(env::var_os).map(PathBuf::from);
        let of_nvcc = env::var_os("PATH")
            .iter()
            .flat_map(env::split_paths)
            .filter(|folder| folder.join("nvcc").is_file())
            // A toolkit is often reached through a symbolic link to its nvcc.
            .filter_map(|folder| fs::canonicalize(folder.join("nvcc")).ok())
            .filter_map(|nvcc| Some(nvcc.parent()?.parent()?.to_path_buf()))
            .collect::<Vec<_>>();
        let usual = ["/usr/local/cuda", "/opt/cuda"].map(PathBuf::from);
        named.chain(of_nvcc).chain(usual).find(|root| root.is_dir()).map(|root| Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the major version, from `CUDA_VERSION` in `cuda.h` (13020 is 13.2).
    pub(crate) fn major(&self) -> Option<u32> {
        let header = self.first(&["include/cuda.h", "targets/x86_64-linux/include/cuda.h"])?;
        println!("cargo:rerun-if-changed={}", header.display());
        let text = fs::read_to_string(header).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix("#define CUDA_VERSION"))?;
        Some(value.trim().parse::<u32>().ok()? / 1000)
    }

    /// Returns the CUDA runtime as an archive, which opens the driver's library by itself on first use.
    pub(crate) fn static_runtime(&self, architecture: &str) -> Option<PathBuf> {
        // A toolkit for several architectures has a folder for each, with these names.
        let of_target = match architecture {
            "aarch64" => "targets/sbsa-linux/lib/libcudart_static.a",
            _ => "targets/x86_64-linux/lib/libcudart_static.a",
        };
        self.first(&[of_target, "lib64/libcudart_static.a", "lib/libcudart_static.a"])
    }

    fn first(&self, names: &[&str]) -> Option<PathBuf> {
        names.iter().map(|name| self.root.join(name)).find(|path| path.is_file())
    }
}
