//! `-C DIR`: the folder with the operator's files.

use clap::Args;
use std::path::{Path, PathBuf};

/// Where packages put the operator's files.
const SYSTEM_FOLDER: &str = "/etc/tradewind";

/// The option of every command that reads the operator's files.
#[derive(Args, Clone, Debug, Default)]
pub struct FolderArgs {
    /// The folder with tradewind.toml [default: this one if it has that file, else /etc/tradewind]
    #[arg(short = 'C', long = "dir", value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl FolderArgs {
    /// The folder to read.
    pub fn path(&self) -> &Path {
        let here = Path::new(".");
        match &self.dir {
            Some(dir) => dir,
            None if here.join("tradewind.toml").exists() => here,
            None => Path::new(SYSTEM_FOLDER),
        }
    }
}
