//! Man pages and shell completions, from the same declarations as the help: `--generate`.
//!
//! The option is for packages and for `make install`, so no help lists it. It is in the programs themselves, so that
//! whoever has only a program can make them too: `source <(hubbub --generate bash)`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::str::FromStr as _;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// The option, which must be the first.
const OPTION: &str = "--generate";

const USAGE: &str = "expected --generate bash, zsh or fish, or --generate man FOLDER";

/// What the arguments ask to generate; `None` if they do not.
pub fn asked(arguments: &[OsString]) -> Option<&[OsString]> {
    let [_, option, what @ ..] = arguments else { return None };
    (option == OPTION).then_some(what)
}

/// Writes a completion to standard output, or man pages into a folder. Returns what is wrong with the arguments, or why it
/// failed.
pub fn generate(command: Command, what: &[OsString]) -> Result<(), String> {
    let name = command.get_name().to_owned();
    match what {
        [man, folder] if man == "man" => {
            write_pages(&name, command, Path::new(folder)).map_err(|error| format!("{}: {error}", folder.display()))
        }
        [shell] => {
            let shell = shell.to_str().and_then(|shell| Shell::from_str(shell).ok()).ok_or(USAGE)?;
            let script = completion(shell, &name, &command);
            io::stdout().write_all(&script).and_then(|()| io::stdout().flush()).map_err(|error| error.to_string())
        }
        _ => Err(USAGE.to_owned()),
    }
}

fn completion(shell: Shell, name: &str, command: &Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(command), name, &mut script);
    // The crate writes the hyphen of a program's name in two ways, so that the script finds none of its commands.
    let (wrong, right) = (name.replace('-', "__subcmd__"), name.replace('-', "__"));
    match String::from_utf8(script) {
        Ok(script) if shell == Shell::Bash => script.replace(&wrong, &right).into_bytes(),
        Ok(script) => script.into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// The command without its hidden options, which the crate would complete.
fn visible(command: &Command) -> Command {
    let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set()).cloned();
    let subcommands = command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(visible);
    let about = command.get_about().cloned().unwrap_or_default();
    // clap takes names that live as long as the program, which ends after this.
    let name: &'static str = command.get_name().to_owned().leak();
    let visible = Command::new(name).about(about);
    visible.disable_help_flag(true).disable_version_flag(true).args(arguments).subcommands(subcommands)
}

/// A page for the program, and one for each of its commands.
fn write_pages(program: &str, command: Command, folder: &Path) -> io::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut commands = vec![command];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned());
        let name = command.get_display_name().unwrap_or(program).to_owned();
        fs::write(folder.join(format!("{name}.1")), page(program, command)?)?;
    }
    Ok(())
}

fn page(program: &str, command: Command) -> io::Result<Vec<u8>> {
    // The crate would fill its lines like those of a paragraph.
    let examples = command.get_after_long_help().map(ToString::to_string);
    let has_commands = command.has_subcommands();
    let is_program = command.get_display_name().is_none_or(|name| name == program);
    let name = command.get_display_name().unwrap_or(program).to_uppercase();
    let man = Man::new(command);
    // The crate leaves an empty date out, so that the next field takes its place.
    let title = format!(".TH {name} 1 \"\" \"Hubbub {}\" Hubbub\n", env!("CARGO_PKG_VERSION"));
    let mut page = title.into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(examples) = examples {
        page.extend(verbatim("EXAMPLES", examples.strip_prefix("Examples:\n").unwrap_or(&examples)).into_bytes());
    }
    if !is_program {
        page.extend(format!(".SH \"SEE ALSO\"\n.BR {} (1)\n", escaped(program)).into_bytes());
    }
    Ok(page)
}

/// A section whose lines stay as they are.
fn verbatim(title: &str, text: &str) -> String {
    let lines: String = text.lines().map(|line| escaped(line) + "\n").collect();
    format!(".SH {title}\n.nf\n{lines}.fi\n")
}

/// A line of text as roff reads it.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    // A line that begins with one of these is a request.
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    fn command() -> Command {
        let option = Arg::new("data").long("data").env("HUBBUB_DATA").help("Folder for messages");
        let sub =
            Command::new("backup").about("Write a backup").after_long_help("Examples:\n  hubbub-x backup \\\n.dot");
        let hidden = Arg::new("panic-in").long("panic-in").hide(true);
        let quiet = Arg::new("quiet").long("quiet").action(ArgAction::SetTrue).help("Say nothing");
        Command::new("hubbub-x").version("1.2").about("Does it").args([option, quiet, hidden]).subcommand(sub)
    }

    #[test]
    fn each_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        generate(command(), &["man".into(), folder.path().into()]).unwrap();
        let page = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let main = page("hubbub-x.1");
        assert!(main.contains("HUBBUB_DATA") && main.contains("hubbub\\-x\\-backup(1)"), "{main}");
        assert!(!main.contains("panic"), "{main}");
        let sub = page("hubbub-x-backup.1");
        assert!(sub.contains(".SH EXAMPLES\n.nf\n  hubbub\\-x backup \\e\n\\&.dot\n.fi\n"), "{sub}");
        assert!(sub.ends_with(".SH \"SEE ALSO\"\n.BR hubbub\\-x (1)\n"), "{sub}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// The script of bash named the program `hubbub__x` in one place and `hubbub__subcmd__x` in another.
    #[test]
    fn completions_have_the_visible_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completion(shell, "hubbub-x", &command())).unwrap();
            assert!(script.contains("data") && script.contains("backup"), "{shell}: {script}");
            assert!(!script.contains("panic") && !script.contains("hubbub__subcmd__x"), "{shell}: {script}");
        }
    }

    #[test]
    fn only_the_first_option_asks_for_it() {
        let arguments = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(asked(&arguments("hubbub --generate bash")), Some(&["bash".into()][..]));
        assert_eq!(asked(&arguments("hubbub send --generate")), None);
        assert_eq!(generate(command(), &arguments("elvish-and-more")), Err(USAGE.to_owned()));
        assert_eq!(generate(command(), &[]), Err(USAGE.to_owned()));
    }
}
