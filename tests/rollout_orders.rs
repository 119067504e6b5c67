//! Rollouts, end to end, in the hands of people: who orders what is written down, some of it takes
//! two, and whoever changes the weight beside a rollout pauses it; `status` and `check` say what is
//! served and not in the files. Whoever kills the server in whatever phase finds nothing skipped,
//! repeated, told twice or stuck.

mod support;

use serde_json::{Value, json};
use support::{
    await_some,
    rollouts::{SERVER, Site, WAITING, ZONE, www},
    server::cli,
};

/// Here: setting, baking, waiting, paused, reversing, aborted with its override and without,
/// succeeded, undoing. Elsewhere: edited, and proposed with the proposal written down and not (this
/// file); failed and held, reversing that waits for others, between the end and what follows
/// (`rollout`); any moment at all (`rollout/properties.rs`).
#[test]
fn whoever_kills_the_server_in_any_phase_finds_nothing_skipped_repeated_or_stuck() {
    let site = Site::start(WAITING, "");
    site.rollout(&["start", "www"], 0);
    // Its weight was just asked for.
    let site = site.killed();
    site.awaited("baking", 1);
    let site = site.killed();
    site.awaited("waiting", 1);
    site.gives(0.01);
    let site = site.killed();
    site.awaited("waiting", 1);
    site.rollout(&["promote", "www"], 0);
    let site = site.killed();
    site.awaited("waiting", 2);
    site.rollout(&["pause", "www", "--reason", "lunch"], 0);
    let site = site.killed();
    let line = site.awaited("paused", 2);
    assert!(line["halted"].as_str().unwrap().contains("lunch"), "{line:#}");
    site.gives(0.1);
    site.rollout(&["resume", "www"], 0);
    site.awaited("waiting", 2);
    site.rollout(&["abort", "www"], 0);
    let site = site.killed();
    site.awaited("aborted", 2);
    site.gives(0.0);
    let site = site.killed();
    site.awaited("aborted", 2);
    assert_eq!(site.asked(), ["1 %", "10 %", "0 %"], "each once, in order");
    site.tells_nothing_twice(&["step 1/4 (1 %) is served", "step 2/4 (10 %) is served"]);
    // The files give it nobody either: the override is no more.
    await_some("the end of the override", || (site.line()["closed"] == true).then_some(()));
    let site = site.killed();
    site.awaited("aborted", 2);
    site.rollout(&["undo", "www"], 4);
    site.gives(0.0);

    // What succeeded stays so, and what is undone is undone.
    site.rollout(&["retry", "www"], 0);
    site.awaited("waiting", 1);
    site.rollout(&["promote", "www", "--full"], 0);
    site.awaited("succeeded", 4);
    let site = site.killed();
    site.awaited("succeeded", 4);
    site.gives(1.0);
    site.rollout(&["undo", "www"], 0);
    let site = site.killed();
    site.awaited("undone", 4);
    site.gives(0.0);
}

#[test]
fn whoever_edits_the_weight_pauses_the_rollout() {
    let site = Site::start(WAITING, "");
    site.rollout(&["start", "www"], 0);
    site.awaited("waiting", 1);
    let weight = site.server.cli("weight", &["record:g.example/www", "canary=40%"]);
    assert_eq!(weight.status.code(), Some(0));
    let line = site.awaited("edited", 1);
    assert!(line["halted"].as_str().unwrap().contains("gives `canary` 40 %"), "{line:#}");
    site.gives(0.4);
    let site = site.killed();
    site.awaited("edited", 1);
    site.gives(0.4);
    site.rollout(&["resume", "www"], 0);
    site.awaited("waiting", 1);
    site.gives(0.01);

    // To take the rollout's own override away is to edit it, too.
    site.cli("weight", &["id:3", "reset"], 0);
    let line = site.awaited("edited", 1);
    assert!(line["halted"].as_str().unwrap().contains("took the rollout's override away"));
    site.gives(0.4);
    site.rollout(&["resume", "www"], 0);
    site.awaited("waiting", 1);
    site.gives(0.01);

    let zone =
        ZONE.replacen("weight = 60", "weight = 67", 1).replacen("weight = 0", "weight = 3", 1);
    site.server.folder.write("zones/g.example.toml", &zone);
    assert_eq!(site.server.reload()["accepted"], true);
    let line = site.awaited("edited", 1);
    assert!(line["halted"].as_str().unwrap().contains("the files say 3 %"), "{line:#}");
    site.gives(0.01);
    let status = String::from_utf8(site.server.cli("status", &[]).stdout).unwrap();
    assert!(status.contains("is given 1 %; the files say 3 % (rollout www)"), "{status}");
    site.rollout(&["promote", "www", "--full"], 0);
    site.awaited("succeeded", 4);
    site.gives(1.0);
}

/// Whose weights take two persons.
const FOUR_EYES: &str =
    "[[safety]]\nname = \"four-eyes\"\nrecords = [\"g.example/www\"]\ntwo_persons = [\"weight\"]\n";

#[test]
fn where_two_persons_are_wanted_none_of_those_who_had_it_go_on_is_the_second() {
    let site = Site::over(&[
        ("tradewind.toml", &format!("{SERVER}{FOUR_EYES}")),
        ("rollouts/www.toml", &www(WAITING, "")),
    ]);
    let proposed =
        |site: &Site| await_some("a proposal", || site.line()["proposed"].as_u64()).to_string();
    let confirm = |site: &Site, id: &str, who: &str, code: i32| {
        site.cli("confirm", &[id, "--as", who], code);
    };
    site.rollout(&["start", "www", "--as", "ana"], 0);
    let id = proposed(&site);
    confirm(&site, &id, "ana", 6);
    site.gives(0.0);
    let site = site.killed();
    assert_eq!(proposed(&site), id, "it waits on, as the same proposal");
    // One that was made and not written down is made again, and the first is nobody's any more.
    let site = site.killed_and(|run| run.replace(&format!(",\"proposed\":{id}"), ""));
    let (stray, id) = (id, proposed(&site));
    assert_ne!(stray, id);
    let gone = site.server.cli("confirm", &[&stray, "--as", "bo"]);
    assert_ne!(gone.status.code(), Some(0));
    confirm(&site, &id, "ana", 6);
    confirm(&site, &id, "bo", 0);
    site.awaited("waiting", 1);
    site.gives(0.01);

    site.rollout(&["promote", "www", "--as", "carl"], 0);
    let id = proposed(&site);
    confirm(&site, &id, "carl", 6);
    confirm(&site, &id, "ana", 6);
    site.gives(0.01);
    confirm(&site, &id, "bo", 0);
    site.awaited("waiting", 2);
    site.gives(0.1);

    // One that is rejected stands still, and one that is not wanted any more nobody may confirm.
    site.rollout(&["promote", "www", "--as", "carl"], 0);
    let id = proposed(&site);
    site.cli("reject", &[&format!("id:{id}"), "--as", "bo"], 0);
    let line = site.awaited("refused", 3);
    assert!(line["halted"].as_str().unwrap().contains("was rejected"), "{line:#}");
    site.gives(0.1);
    site.rollout(&["resume", "www", "--as", "carl"], 0);
    let id = proposed(&site);
    site.rollout(&["pause", "www", "--as", "dana"], 0);
    site.awaited("paused", 3);
    let gone = site.server.cli("confirm", &[&id, "--as", "bo"]);
    assert_ne!(gone.status.code(), Some(0));
    site.gives(0.1);
    // Taking back takes two as well, unless somebody may go over rules.
    site.rollout(&["abort", "www", "--as", "ana"], 0);
    let id = proposed(&site);
    confirm(&site, &id, "ana", 6);
    site.awaited("reversing", 3);
    let glass = ["abort", "www", "--break-glass", "--reason", "it burns", "--as", "ana"];
    site.rollout(&glass, 0);
    site.awaited("aborted", 3);
    site.gives(0.0);
    site.tells_nothing_twice(&["step 1/4 (1 %) is served", "step 2/4 (10 %) is served"]);
}

#[test]
fn a_record_has_one_rollout_whatever_becomes_of_files() {
    let other = www("[5, 100]", "");
    let site =
        Site::over(&[("rollouts/www.toml", &www(WAITING, "")), ("rollouts/other.toml", &other)]);
    site.rollout(&["start", "www"], 0);
    site.awaited("waiting", 1);
    assert!(site.rollout(&["start", "other"], 4).contains("`www` is under way"));
    // Under way by the file it began with, it is in the way of one that its name means now.
    let west = "record = \"g.example/west\"\nmember = \"stable\"\nsteps = [40, 100]\n";
    site.server.folder.write("rollouts/www.toml", west);
    assert_eq!(site.server.reload()["accepted"], true);
    let said = site.rollout(&["start", "www"], 4);
    assert!(said.contains("`www` is under way at g.example/www"), "{said}");
    site.gives(0.01);
    site.rollout(&["abort", "www"], 0);
    await_some("the end of the override", || (site.line()["closed"] == true).then_some(()));
    // And one that is over cannot come back beside another.
    site.rollout(&["start", "other"], 0);
    assert!(site.rollout(&["retry", "www"], 4).contains("`other` is under way"));
    site.rollout(&["undo", "other"], 0);
    site.awaited_of("other", "undone", 1);
    site.gives(0.0);

    // Of a record that is gone nobody is given anything; what was begun there ends.
    site.rollout(&["start", "other"], 0);
    site.awaited_of("other", "baking", 1);
    let at = ZONE.find("[records.www]").unwrap();
    let west = ZONE.find("[records.west]").unwrap();
    site.server.folder.write("zones/g.example.toml", &(ZONE[..at].to_owned() + &ZONE[west..]));
    site.server.folder.remove("rollouts/other.toml");
    assert_eq!(site.server.reload()["accepted"], true);
    let line = site.awaited_of("other", "edited", 1);
    assert!(line["halted"].as_str().unwrap().contains("no `canary`"), "{line:#}");
    site.rollout(&["abort", "other"], 0);
    let closed = || (site.line_of("other")["closed"] == true).then_some(());
    await_some("the end of the override", closed);
    assert_eq!(site.server.control_request("GET", "/v1/hand").1["overrides"], json!([]));
}

#[test]
fn status_and_check_say_what_is_served_and_not_in_the_files() {
    let site = Site::start(WAITING, "");
    let check = |site: &Site| site.cli("check", &[], 0);
    let status = |site: &Site| String::from_utf8(site.server.cli("status", &[]).stdout).unwrap();
    assert!(!check(&site).contains("weight:"), "{}", check(&site));
    site.rollout(&["start", "www"], 0);
    site.awaited("waiting", 1);
    site.cli("weight", &["endpoint:g.example/stable/s1", "3"], 0);
    let rollout = "weight: canary of g.example/www is given 1 %; the files say 0 % (rollout www); \
                   what to write: tradewind rollout finish www";
    let by_hand = "weight: s1 of g.example/stable is given 75 %; the files say 50 % (#2 of ";
    for said in [check(&site), status(&site)] {
        assert!(said.contains(rollout), "{said}");
        assert!(said.contains(by_hand), "{said}");
        assert!(
            said.contains("undo: tradewind weight endpoint:g.example/stable/s1 reset"),
            "{said}"
        );
    }
    let json: Value = serde_json::from_str(&site.cli("check", &["--json"], 0)).unwrap();
    assert_eq!(json["weights"][0]["rollout"], "www", "{json:#}");
    assert_eq!(json["weights"].as_array().unwrap().len(), 2, "{json:#}");

    // `check` holds the files that are there against what is served, loaded or not.
    let zone = ZONE.replacen("weight = 60", "weight = 66", 1);
    let zone =
        zone.replacen("weight = 30", "weight = 33", 1).replacen("weight = 0", "weight = 1", 1);
    site.server.folder.write("zones/g.example.toml", &zone);
    assert!(!check(&site).contains("(rollout www)"), "{}", check(&site));
    assert!(check(&site).contains(by_hand), "{}", check(&site));
    assert!(status(&site).contains(rollout), "{}", status(&site));
    let folder = site.server.folder_after_stop();
    let said = cli(&["check", "-C", folder.path().to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(0));
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(!said.contains("weight:"), "without a server it says nothing of it: {said}");
}

#[test]
fn each_order_is_in_the_audit_with_who_where_why_and_how_it_stood_before_and_after() {
    let site = Site::start(WAITING, "");
    let order = |args: &[&str], who: &str, code: i32| {
        let why = format!("why {}", args[0]);
        let all = [args, &["--as", who, "--reason", &why]].concat();
        site.rollout(&all, code);
    };
    order(&["start", "www"], "ana", 0);
    site.awaited("waiting", 1);
    order(&["promote", "www"], "bo", 0);
    site.awaited("waiting", 2);
    order(&["pause", "www"], "carl", 0);
    order(&["resume", "www"], "dana", 0);
    order(&["resume", "www"], "dana", 4);
    order(&["abort", "www"], "eve", 0);
    site.awaited("aborted", 2);
    await_some("the end of the override", || (site.line()["closed"] == true).then_some(()));
    order(&["retry", "www"], "fred", 0);
    site.awaited("waiting", 1);
    order(&["promote", "www", "--full"], "gil", 0);
    site.awaited("succeeded", 4);
    // Reads only, and is no change.
    site.rollout(&["finish", "www"], 10);
    order(&["undo", "www"], "hal", 0);
    site.awaited("undone", 4);

    let said: Value = serde_json::from_str(&site.cli("audit", &["--json"], 0)).unwrap();
    let entries = said["entries"].as_array().unwrap();
    let is_order = |entry: &&Value| entry["what"].as_str().unwrap().starts_with("rollout ");
    let told: Vec<_> = entries
        .iter()
        .filter(is_order)
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap().to_owned();
            let who = text("who").split(' ').next().unwrap().to_owned();
            assert!(text("from").starts_with("control socket"), "{entry}");
            let stood = |side: &str| entry[side]["state"][0].as_str().unwrap_or("").to_owned();
            let what = text("what");
            assert!(text("reason").starts_with("why "), "{entry}");
            format!("{who}: {what}: {} | {} | {}", text("outcome"), stood("before"), stood("after"))
        })
        .collect();
    assert_eq!(
        told,
        [
            "ana: rollout start www: done | www not begun | www setting at step 1/4 (1 %)",
            "bo: rollout promote www: done | www waiting at step 1/4 (1 %) | www setting at step 2/4 (10 %)",
            "carl: rollout pause www: done | www waiting at step 2/4 (10 %) | www paused at step 2/4 (10 %)",
            "dana: rollout resume www: done | www paused at step 2/4 (10 %) | www waiting at step 2/4 (10 %)",
            "dana: rollout resume www: refused |  | ",
            "eve: rollout abort www: done | www waiting at step 2/4 (10 %) | www reversing at step 2/4 (10 %)",
            "fred: rollout retry www: done | www aborted at step 2/4 (10 %) | www setting at step 1/4 (1 %)",
            "gil: rollout promote --full www: done | www waiting at step 1/4 (1 %) | www setting at step 4/4 (100 %)",
            "hal: rollout undo www: done | www succeeded at step 4/4 (100 %) | www undoing at step 4/4 (100 %)",
        ]
    );
    // Whoever hangs up at once is written down no less.
    for (verb, state) in [("retry", "waiting"), ("pause", "paused"), ("resume", "waiting")] {
        site.order_and_hang_up(verb);
        site.awaited(state, 1);
        let what = format!("rollout {verb} www");
        await_some("the entry of whoever hung up", || {
            let said: Value = serde_json::from_str(&site.cli("audit", &["--json"], 0)).unwrap();
            let mut all = said["entries"].as_array().unwrap().iter();
            all.any(|one| one["what"] == *what && one["reason"] == "gone").then_some(())
        });
    }
    // What came of them to answers has entries of its own, of the rollout.
    let own =
        entries.iter().filter(|entry| entry["who"] == "rollout www" && entry["outcome"] == "done");
    let own: Vec<&str> = own.map(|entry| entry["what"].as_str().unwrap()).collect();
    let weight = |percent: u32| format!("weight record:g.example/www 'canary={percent}%'");
    let wanted = [weight(1), weight(10), weight(0), weight(1), weight(100)];
    let given: Vec<&&str> = own.iter().filter(|what| what.contains("canary=")).collect();
    assert_eq!(given, wanted.iter().collect::<Vec<_>>(), "{own:?}");
    let is_whole = |site: &Site| {
        let said = cli(&["audit", "verify", "-C", site.server.folder.path().to_str().unwrap()]);
        assert_eq!(said.status.code(), Some(0), "{said:?}");
    };
    is_whole(&site);
    is_whole(&site.killed());
}

#[test]
fn a_run_that_cannot_be_read_is_an_alarm_at_start_and_what_it_gave_stays() {
    let site = Site::start(WAITING, "");
    site.rollout(&["start", "www"], 0);
    site.awaited("waiting", 1);
    let site = site.killed_and(|run| run.replace("\"stage\"", "\"phase\""));
    let news = site.news();
    let alarm = news.iter().find(|event| event["to"] == "unreadable").unwrap();
    assert_eq!(alarm["alarm"], true);
    assert!(alarm["text"].as_str().unwrap().contains("judged by nobody"), "{alarm}");
    site.gives(0.01);
    assert_eq!(site.line()["state"], "ready");
    // It is shown as what it is, and whoever begins it again takes that over.
    assert!(site.cli("check", &[], 0).contains("(rollout www)"));
    site.rollout(&["start", "www"], 0);
    site.awaited("waiting", 1);
    assert_eq!(site.asked(), ["1 %"]);
    site.rollout(&["abort", "www"], 0);
    site.awaited("aborted", 1);
    site.gives(0.0);
}
