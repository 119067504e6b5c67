//! `-C DIR`: the folder with the operator's files.

use crate::control::hand::words::quoted;
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
    /// The command `line` for the folder this command was given.
    pub fn with(&self, line: &str) -> String {
        match &self.dir {
            Some(dir) => format!("{line} -C {}", quoted(&dir.to_string_lossy())),
            None => line.to_owned(),
        }
    }

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
