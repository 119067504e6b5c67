//! A network of a test's own, which holds nothing but a loopback interface: there any address and
//! any port may be had, and no packet can leave.

use super::figure;
use std::{env, fs, process::Command};

/// Says, in the environment of a test, that it runs in a network of its own.
const ALONE: &str = "TRADEWIND_TEST_IS_ALONE";

/// Whether the calling test is in a network of its own. If not, there is nothing left to do: the
/// test, which is called `name`, has run again there after the shell commands `prepare`; or it was
/// skipped.
pub fn is_alone(name: &str, prepare: &[String]) -> bool {
    if env::var_os(ALONE).is_none() {
        run_alone(name, prepare);
        return false;
    }
    let interfaces = fs::read_to_string("/proc/self/net/dev").unwrap();
    assert_eq!(interfaces.lines().count(), 2 + 1, "more than loopback:\n{interfaces}");
    true
}

fn run_alone(name: &str, prepare: &[String]) {
    let mut script = "ip link set lo up".to_owned();
    prepare.iter().for_each(|step| script += &format!(" && {step}"));
    // Root needs no more than that; who is not has to be root of a user namespace first.
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--map-root-user"]];
    let unshare = |way: &[&str], script: &str| {
        let mut command = Command::new("unshare");
        command.args(way).args(["sh", "-c", script]);
        command
    };
    let works = |way: &&&[&str]| unshare(way, &script).output().unwrap().status.success();
    let Some(way) = ways.iter().find(works) else {
        let why = unshare(ways[1], &script).output().unwrap().stderr;
        let why = String::from_utf8_lossy(&why);
        // A right that a machine gives or does not, and no tool that could be installed.
        return figure(name, format!("not run, for want of a network of its own: {why}"));
    };
    let said = output(
        unshare(way, &format!("{script} && exec \"$0\" \"$@\""))
            .arg(env::current_exe().unwrap())
            .args([name, "--exact"])
            .env(ALONE, "yes"),
    );
    assert!(said.contains(" 1 passed"), "{name} is not its name: {said}");
}

/// What a command wrote; it must succeed.
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{said}\n{complained}");
    said
}
