//! What the documentation says is so: reasons, links, names of tests and files, the README's
//! commands and what they print, and which module may use which.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lychgate::engine::{Effect, Reason};

const COUNTERS: &str = include_str!("../docs/counters.md");
const README: &str = include_str!("../README.md");

/// Modules, and what of ours each may use (docs/architecture.md, "Floor plan").
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("policy", &[]),
    ("source", &[]),
    ("detect", &["source"]),
    ("spf", &["policy"]),
    ("disclosure", &["policy"]),
    ("import", &["policy"]),
    ("complaint", &[]),
    ("engine", &["wire", "policy", "source", "detect"]),
    ("remedy", &["policy"]),
    ("store", &["remedy"]),
    ("events", &["policy", "remedy"]),
    ("io", &["wire"]),
    ("worker", &["wire", "detect", "engine", "io"]),
    (
        "control",
        &[
            "wire",
            "policy",
            "source",
            "detect",
            "engine",
            "io",
            "worker",
            "report",
            "remedy",
            "store",
            "complaint",
        ],
    ),
    ("notice", &["policy", "remedy", "control"]),
    ("synth", &["wire", "engine", "io"]),
    ("load", &["wire", "io", "synth", "report"]),
    (
        "replay",
        &["wire", "policy", "source", "detect", "engine", "io"],
    ),
    ("report", &["wire", "policy", "detect", "engine", "replay"]),
    (
        "cli",
        &[
            "wire",
            "policy",
            "source",
            "detect",
            "engine",
            "io",
            "worker",
            "control",
            "synth",
            "load",
            "replay",
            "report",
            "spf",
            "disclosure",
            "import",
            "complaint",
            "remedy",
            "events",
            "notice",
        ],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page for people, but for the golden cases' own: tests/golden holds those.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).expect("the folder docs");
    let mut paths: Vec<PathBuf> = docs.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    paths.extend(["README.md", "CONTRIBUTING.md", "pcap/README.md"].map(|page| root().join(page)));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a readable page");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Rust files under a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// What stands between backticks, outside of code blocks.
fn code_spans(page: &str) -> Vec<&str> {
    let prose = page.split("```").step_by(2);
    prose
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_reason_has_one_row_with_its_effect() {
    let rows: Vec<Vec<&str>> = COUNTERS
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for &reason in Reason::ALL {
        let label = format!("`{}`", reason.name());
        let own: Vec<_> = rows.iter().filter(|row| row[0] == label).collect();
        assert_eq!(own.len(), 1, "{label} has one row in docs/counters.md");
        let effect = match reason.effect() {
            Effect::Forward => "forward",
            Effect::Drop => "drop",
            Effect::Refuse => "refuse",
            Effect::Redirect => "redirect",
        };
        assert_eq!(
            own[0].len(),
            5,
            "{label}: reason, effect, when, rule, what to do"
        );
        assert_eq!(own[0][1], effect, "{label}");
        assert!(
            !own[0][2].is_empty() && !own[0][4].is_empty(),
            "{label} has an empty cell"
        );
    }
    assert_eq!(
        rows.len(),
        Reason::COUNT,
        "a row of docs/counters.md is no reason's"
    );
}

#[test]
fn every_reason_is_on_the_diagram() {
    let diagram = COUNTERS.split("```").nth(1).expect("the diagram");
    let words: HashSet<&str> = diagram
        .split(|c: char| c != '_' && !c.is_ascii_alphanumeric())
        .collect();
    for reason in Reason::ALL {
        assert!(
            words.contains(reason.name()),
            "{} is not on the diagram",
            reason.name()
        );
    }
}

#[test]
fn the_rule_of_a_reason_is_the_one_that_the_program_names() {
    for reason in Reason::ALL {
        let row = COUNTERS
            .lines()
            .find(|line| line.starts_with(&format!("| `{}`", reason.name())));
        let row = row.expect("a row for every reason");
        for rule in reason.text().split("RFC ").skip(1) {
            let number: String = rule.chars().take_while(char::is_ascii_digit).collect();
            let named = row.contains(&format!("RFC {number}"));
            assert!(named, "RFC {number} is not in the row of {}", reason.name());
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    for (page, text) in pages() {
        let folder = page.parent().expect("a page lies in a folder");
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.starts_with("http") {
                continue;
            }
            let file = target.split('#').next().unwrap_or_default();
            assert!(
                folder.join(file).exists(),
                "{}: {target} is not there",
                page.display()
            );
        }
    }
}

/// A page is reached from the README, directly or by another page.
#[test]
fn every_page_is_linked() {
    let pages = pages();
    for (page, _) in &pages {
        let name = page.file_name().expect("a file").to_str().expect("UTF-8");
        let linked = pages
            .iter()
            .any(|(other, text)| other != page && text.contains(&format!("{name})")));
        assert!(
            name == "README.md" || linked,
            "nothing links to {}",
            page.display()
        );
    }
}

/// A name of five words or more between backticks is a test's.
#[test]
fn every_test_that_a_page_names_exists() {
    let files = ["src", "tests", "fuzz"]
        .iter()
        .flat_map(|folder| sources(&root().join(folder)));
    let code: String = files
        .map(|path| fs::read_to_string(path).expect("a readable file"))
        .collect();
    for (page, text) in pages() {
        for name in code_spans(&text) {
            let word = name
                .chars()
                .all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit());
            if word && name.matches('_').count() >= 4 {
                let defined = code.contains(&format!("fn {name}("));
                assert!(defined, "{}: there is no test {name}", page.display());
            }
        }
    }
}

#[test]
fn every_file_that_a_page_names_exists() {
    const FOLDERS: [&str; 8] = [
        "src/", "tests/", "benches/", "scripts/", "fuzz/", "pcap/", "docs/", ".ci/",
    ];
    for (page, text) in pages() {
        for name in code_spans(&text) {
            let plain = !name.contains([' ', '*', '…']) && !name.contains("NAME");
            if plain && FOLDERS.iter().any(|folder| name.starts_with(folder)) {
                assert!(
                    root().join(name).exists(),
                    "{}: {name} is not there",
                    page.display()
                );
            }
        }
    }
}

#[test]
fn the_scripts_that_the_readme_names_can_be_run() {
    let commands = README
        .lines()
        .filter_map(|line| line.strip_prefix("scripts/"));
    let mut count = 0;
    for command in commands {
        let name = command.split_whitespace().next().unwrap_or_default();
        let script = root().join("scripts").join(name);
        assert!(script.is_file(), "scripts/{name} is not there");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = script
                .metadata()
                .expect("a readable file")
                .permissions()
                .mode();
            assert_ne!(mode & 0o111, 0, "scripts/{name} is not executable");
        }
        count += 1;
    }
    assert_eq!(count, 2, "the two commands");
}

/// Runs the commands of a `console` block in turn and collects what each line printed.
#[cfg(unix)]
fn run(command: &str, folder: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_lychgate"));
    let path = format!(
        "{}:{}",
        program.parent().expect("it lies in a folder").display(),
        std::env::var("PATH").expect("a search path")
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{command} 2>&1")])
        .current_dir(folder)
        .env("PATH", path);
    let output = shell.output().expect("a shell");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Whether `printed` is what is `shown`, where a line "…" stands for any lines.
fn agree(shown: &[&str], printed: &[&str]) -> bool {
    match shown {
        [] => printed.is_empty(),
        ["…", rest @ ..] => (0..=printed.len()).any(|skipped| agree(rest, &printed[skipped..])),
        [line, rest @ ..] => printed.first() == Some(line) && agree(rest, &printed[1..]),
    }
}

#[test]
fn left_out_lines_may_be_any_and_no_others() {
    assert!(agree(&["a", "…", "c"], &["a", "b", "c"]));
    assert!(agree(&["a", "…"], &["a"]));
    assert!(!agree(&["a", "c"], &["a", "b", "c"]));
    assert!(!agree(&["a", "…", "c"], &["a", "b", "c", "d"]));
}

#[cfg(unix)]
#[test]
fn the_readmes_commands_print_what_it_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(root().join("pcap"), folder.path().join("pcap")).expect("a link");
    let mut count = 0;
    for block in README.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        for step in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, shown) = step.split_once('\n').unwrap_or((step, ""));
            let printed = run(command, folder.path());
            let printed: Vec<_> = printed.trim_end().lines().map(str::trim_end).collect();
            let shown: Vec<_> = shown.trim_end().lines().collect();
            let same = agree(&shown, &printed);
            assert!(
                same,
                "`{command}` prints otherwise now:\n{}",
                printed.join("\n")
            );
            count += 1;
        }
    }
    assert!(count >= 8, "only {count} commands");
}

/// Every `lychgate` command line on a page names a subcommand and options that there are.
#[test]
fn every_option_that_a_page_shows_exists() {
    for (page, text) in pages() {
        let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
        let commands = blocks.filter_map(|line| {
            line.trim_start_matches("$ ")
                .split_once("lychgate ")
                .filter(|(before, _)| before.is_empty() || before.ends_with("| "))
        });
        for (_, command) in commands {
            let mut words = command
                .split(" #")
                .next()
                .unwrap_or_default()
                .split_whitespace();
            let subcommand = words.next().unwrap_or_default();
            let help = Command::new(env!("CARGO_BIN_EXE_lychgate"))
                .args([subcommand, "--help"])
                .output()
                .expect("the program runs");
            assert!(
                help.status.success(),
                "{}: no subcommand {subcommand}",
                page.display()
            );
            let help = String::from_utf8(help.stdout).expect("UTF-8");
            let known: HashSet<&str> = help
                .split(|c: char| c != '-' && !c.is_ascii_alphanumeric())
                .collect();
            for option in words.filter(|word| word.starts_with("--")) {
                assert!(
                    known.contains(option),
                    "{}: {subcommand} has no {option}",
                    page.display()
                );
            }
        }
    }
}

/// What a file uses of the crate's modules, in code that is not a test's.
fn uses(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a readable file");
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut used = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let name = |text: &str| -> String {
            text.trim_start()
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect()
        };
        let Some(list) = rest.strip_prefix('{') else {
            used.push(name(rest));
            continue;
        };
        // Names directly within the outermost braces.
        let mut depth = 1;
        let mut start = true;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' => start = depth == 1,
                _ if c.is_whitespace() => {}
                _ if start => {
                    used.push(name(&list[at..]));
                    start = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    used
}

#[test]
fn arrows_point_down_only() {
    let src = root().join("src");
    for &(module, allowed) in ARROWS {
        for path in sources(&src.join(module)) {
            let test = |part: &str| part.ends_with("tests") || part.ends_with("tests.rs");
            if path.iter().any(|part| test(&part.to_string_lossy())) {
                continue;
            }
            for used in uses(&path) {
                let fine = used == module || allowed.contains(&used.as_str());
                assert!(
                    fine,
                    "{} uses {used}, which {module} may not",
                    path.display()
                );
            }
        }
    }
    let modules = fs::read_dir(&src)
        .expect("src")
        .filter(|entry| entry.as_ref().expect("an entry").path().is_dir())
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name() != "bpf"));
    assert_eq!(modules.count(), ARROWS.len(), "a module without arrows");
}
