//! The instances of `interactive_queries`, asked by a client of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use ureq::Agent;

fn get(agent: &Agent, url: &str) -> (u16, Option<String>, Value) {
    let mut response = agent.get(url).call().expect("the server answers");
    let location =
        response.headers().get("location").map(|it| it.to_str().expect("a URL is text").to_owned());
    let body = response.body_mut().read_json().unwrap_or(Value::Null);
    (response.status().as_u16(), location, body)
}

#[test]
fn instances_answer_for_each_other() {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.parent().and_then(Path::parent).expect("tests are in the directory deps of a profile");
    let mut server = Command::new(profile.join("examples/interactive_queries"))
        .arg("--serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example is built with the tests");
    let output = BufReader::new(server.stdout.take().expect("its output is piped"));
    let lines = output.lines().map(|line| line.expect("it prints text"));
    let urls: Vec<String> = lines.take_while(|line| line.starts_with("http://")).collect();
    assert_eq!(urls.len(), 2, "{urls:?}");

    let agent: Agent = Agent::config_builder().max_redirects(0).http_status_as_error(false).build().into();
    let mut views: BTreeMap<String, i64> = BTreeMap::new();
    for url in &urls {
        let (status, _, pages) = get(&agent, &format!("{url}/views"));
        assert_eq!(status, 200);
        for (page, count) in pages.as_object().expect("pages with their views") {
            let before = views.insert(page.clone(), count.as_i64().expect("a number"));
            assert_eq!(before, None, "{page} is at one instance");
        }
    }
    assert_eq!(views.values().sum::<i64>(), 120);

    let mut served = BTreeSet::new();
    for (page, count) in &views {
        let expected = serde_json::json!({"page": page, "views": count});
        let mut direct = 0;
        for (url, other) in [(&urls[0], &urls[1]), (&urls[1], &urls[0])] {
            let (status, location, body) = get(&agent, &format!("{url}/views/{page}"));
            if status == 200 {
                assert_eq!(body, expected);
                served.insert(url.clone());
                direct += 1;
            } else {
                assert_eq!((status, location), (307, Some(format!("{other}/views/{page}"))));
                assert_eq!(get(&agent, &format!("{other}/views/{page}")).2, expected);
            }
        }
        assert_eq!(direct, 1, "{page} is at one instance");
        let (_, _, hours) = follow(&format!("{}/views/{page}/hours", urls[0]));
        let of_hours =
            hours.as_array().expect("hours").iter().map(|hour| hour["views"].as_i64().expect("a number"));
        assert_eq!(of_hours.sum::<i64>(), *count, "{page} by hour");
    }
    assert_eq!(served.len(), 2, "both instances have pages");

    let (_, _, instances) = get(&agent, &format!("{}/instances", urls[0]));
    let hosts =
        instances.as_array().expect("instances").iter().map(|it| it["host"].as_str().expect("a host"));
    let hosts: BTreeSet<String> = hosts.map(|host| format!("http://{host}")).collect();
    assert_eq!(hosts, urls.iter().cloned().collect());
    let statuses = urls.iter().map(|url| {
        let (status, location, _) = get(&agent, &format!("{url}/views/nothing"));
        location.map_or(status, |location| get(&agent, &location).0)
    });
    assert_eq!(statuses.collect::<Vec<u16>>(), [404, 404]);

    drop(server.stdin.take());
    assert!(server.wait().expect("it ends").success());
}

/// As [`get`], redirects followed.
fn follow(url: &str) -> (u16, Option<String>, Value) {
    get(&Agent::new_with_defaults(), url)
}
