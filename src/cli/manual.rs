//! `lychgate manual`: manual pages, made from the same text as `--help`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, CommandFactory, ValueHint};

const EXAMPLES: &str = "\
Examples:
  lychgate manual | man -l -                      read the first page
  lychgate manual /usr/local/share/man/man1       install all of them";

/// Write the manual pages.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ManualArgs {
    /// Directory for one page per subcommand; without it, the main page goes to standard output
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

/// Writes the pages.
pub fn run(args: ManualArgs) -> anyhow::Result<ExitCode> {
    let mut command = super::Cli::command();
    command.build();
    match args.directory {
        Some(directory) => write_all(&command, &directory)?,
        None => clap_mangen::Man::new(command).render(&mut io::stdout())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_all(command: &clap::Command, directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("{}: cannot be created", directory.display()))?;
    let subcommands = command
        .get_subcommands()
        .filter(|command| command.get_name() != "help");
    for command in std::iter::once(command).chain(subcommands) {
        let page = clap_mangen::Man::new(command.clone());
        let path = directory.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text)?;
        fs::write(&path, text).with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(())
}
