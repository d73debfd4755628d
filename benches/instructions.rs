//! How many instructions the main paths of the engine take, counted by callgrind: a regression shows on a noisy machine, too.
//!
//! ```sh
//! cargo bench --bench instructions            # counts, compares with benches/instructions.txt, fails if a path takes 5 % more
//! cargo bench --bench instructions -- --save  # counts and writes the file
//! ```
//!
//! Every path is run twice, with a few rounds and with twice as many: the difference is what the rounds took, without the
//! start. Needs `valgrind`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

mod paths;

/// Rounds of the shorter run.
const ROUNDS: usize = 20;
/// A path may take so much more than the file says.
const TOLERANCE: f64 = 1.05;

/// Instructions of one run of a path.
fn count(name: &str, rounds: usize) -> Result<u64, String> {
    let out = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.path().display()));
    command.arg(this).args(["--run", name, &rounds.to_string()]);
    let output = command.output().map_err(|e| format!("valgrind cannot be started ({e}): install it"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let counts = std::fs::read_to_string(out.path()).map_err(|e| e.to_string())?;
    let total = counts.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")));
    total.and_then(|total| total.split_whitespace().next()?.parse().ok()).ok_or_else(|| "no count".to_string())
}

/// What the file says of a path.
fn kept(file: &str, name: &str) -> Option<u64> {
    file.lines().find_map(|line| line.strip_suffix(name)?.split_whitespace().next()?.parse().ok())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, run, name, rounds] = &arguments[..]
        && run == "--run"
    {
        let rounds = rounds.parse().unwrap_or(0);
        let found = paths::PATHS.iter().find(|(known, ..)| known == name);
        // As much is prepared for the shorter run as for the longer one.
        let mut path = found.map(|(.., prepare)| prepare(2 * ROUNDS)).unwrap_or_else(|| panic!("{name}"));
        (0..rounds).for_each(|n| (path.round)(n));
        return ExitCode::SUCCESS;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    let (mut table, mut is_worse) = (String::new(), false);
    for (name, unit, prepare) in paths::PATHS {
        let counted = count(name, ROUNDS).and_then(|short| Ok(count(name, 2 * ROUNDS)?.saturating_sub(short)));
        let each = match counted {
            Ok(counted) => counted / (prepare(1).units * ROUNDS as u64),
            Err(e) => {
                eprintln!("{name}: {e}");
                return ExitCode::FAILURE;
            }
        };
        let name = format!("a {unit}: {name}");
        let _ = writeln!(table, "{each:>8}  {name}");
        let note = match kept(&before, &name) {
            None => "new".to_string(),
            Some(before) if each as f64 > before as f64 * TOLERANCE => {
                is_worse = true;
                format!("{before} before: MORE")
            }
            Some(before) => format!("{before} before"),
        };
        println!("{each:>8}  {name} ({note})");
    }
    if arguments.iter().any(|argument| argument == "--save") {
        if let Err(e) = std::fs::write(&file, table) {
            eprintln!("{}: {e}", file.display());
            return ExitCode::FAILURE;
        }
        return ExitCode::SUCCESS;
    }
    if is_worse { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
