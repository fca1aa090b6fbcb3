//! Monitors of single containers: Zabbix agent 2, and the script with which Netdata names control groups.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{behind, check_canaries, hidden, is_hidden, parse};
use crate::harness::{Outcome, Test, tests};
use crate::support::{assert_no_canary, cli, client, engine, installed};

pub(crate) const TESTS: &[Test] =
    tests![zabbix_shows_the_same_but_for_what_is_hidden, netdata_names_a_control_group_and_reads_nothing_else];

/// A Zabbix agent and the configuration file that names its engine.
struct Zabbix {
    program: String,
    configuration: String,
}

impl Zabbix {
    /// Writes the configuration into a folder.
    fn new(program: &str, folder: &Path, name: &str, socket: &Path) -> Zabbix {
        let configuration = folder.join(format!("zabbix-{name}.conf"));
        let endpoint = format!("Plugins.Docker.Endpoint=unix://{}", socket.display());
        std::fs::write(&configuration, format!("Server=127.0.0.1\nLogType=console\nTimeout=30\n{endpoint}\n")).unwrap();
        Zabbix { program: program.to_owned(), configuration: configuration.to_str().unwrap().to_owned() }
    }

    /// The value of an item.
    #[track_caller]
    fn item(&self, key: &str) -> String {
        let mut command = Command::new("timeout");
        let output = command.args(["60", &self.program, "-c", &self.configuration, "-t", key]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = text.split_once("[s|").and_then(|(_, value)| value.trim_end().strip_suffix(']'));
        value.map(str::to_owned).unwrap_or_else(|| panic!("{key}: {}", cli::outputs(&output)))
    }

    /// The values of many items. The agent takes a second for each, so they are requested at the same time.
    #[track_caller]
    fn items(&self, keys: &[&str]) -> Vec<String> {
        let _measuring = engine::disk_usage_lock();
        std::thread::scope(|scope| {
            let threads: Vec<_> = keys.iter().map(|key| scope.spawn(|| self.item(key))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }
}

/// An item as JSON without what differs between two reads: counts, ages and the order of lists.
#[track_caller]
fn steady(value: &str) -> Value {
    fn settle(value: &mut Value) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(name, member)| match name.as_str() {
                "NFd" | "NGoroutines" | "NEventsListener" => *member = Value::Null,
                // "Up 3 seconds (healthy)".
                "Status" if member.as_str().is_some_and(|status| status.contains(' ')) => *member = Value::Null,
                _ => settle(member),
            }),
            Value::Array(items) => {
                // Objects of the same second are in any order.
                let key = |item: &Value| {
                    ["Id", "{#ID}", "CreatedAt", "UsageData"].map(|part| item.get(part).map(Value::to_string))
                };
                items.sort_by_key(key);
                items.iter_mut().for_each(settle);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = parse(value);
    settle(&mut value);
    value
}

fn zabbix_shows_the_same_but_for_what_is_hidden() -> Outcome {
    /// Items that are the same on both sides.
    const SAME: [&str; 3] = ["docker.ping", "docker.containers.discovery[true]", "docker.images.discovery"];
    /// Items with hidden parts, and the paths of some of these.
    const IN_PART: [(&str, &[&str]); 6] = [
        ("docker.info", &["$.DockerRootDir", "$.Id", "$.SecurityOptions"]),
        ("docker.containers", &["$[*].Command", "$[*].Mounts[*].Source"]),
        ("docker.container_info[web]", &["$.Args", "$.Path", "$.HostConfig.Binds", "$.LogPath", "$.State.Pid"]),
        ("docker.container_info[web,full]", &["$.Config.Env", "$.Config.Cmd", "$.Config.Labels.owner"]),
        ("docker.data_usage", &["$.Containers[*].Command", "$.Volumes[*].Mountpoint"]),
        // Without digests, some engines write `null`, and the profile shows `[]`.
        ("docker.images", &[]),
    ];
    let program = installed::client("zabbix_agent2")?;
    let (engine, proxy) = behind("zabbix")?;
    let agent = |name: &str, socket: &Path| Zabbix::new(&program, proxy.folder(), name, socket);
    let (at_engine, at_proxy) = (agent("direct", &engine.socket()), agent("through", &proxy.socket()));
    let keys: Vec<&str> = SAME.into_iter().chain(IN_PART.map(|(key, _)| key)).collect();
    let (direct, through) = (at_engine.items(&keys), at_proxy.items(&keys));
    let (direct_same, direct_part) = direct.split_at(SAME.len());
    let (through_same, through_part) = through.split_at(SAME.len());
    for ((key, direct), through) in SAME.iter().zip(direct_same).zip(through_same) {
        assert_eq!(steady(through), steady(direct), "{key}");
    }
    for (((key, expected), direct), through) in IN_PART.iter().zip(direct_part).zip(through_part) {
        let mut found = BTreeSet::new();
        hidden("$", &steady(direct), &steady(through), &mut found);
        for path in *expected {
            assert!(is_hidden(path, &found), "{key}: {path} is not hidden: {found:?}");
        }
    }
    let read = |side: &[String], at: usize| steady(&side[at]);
    for field in
        ["Name", "NCPU", "MemTotal", "ServerVersion", "Driver", "KernelVersion", "OperatingSystem", "PidsLimit"]
    {
        assert_eq!(read(through_part, 0)[field], read(direct_part, 0)[field], "{field}");
    }
    let state = |side: &[String]| read(side, 2)["State"]["StartedAt"].clone();
    assert!(state(through_part).is_number() && state(through_part) == state(direct_part));
    check_canaries("Zabbix agent 2 6.0.14", &direct_part[3], &through.concat());

    let sample = |agent: &Zabbix| steady(&agent.items(&["docker.container_stats[web]"])[0]);
    let (direct, through) = (sample(&at_engine), sample(&at_proxy));
    for pointer in ["/cpu_stats/online_cpus", "/memory_stats/limit"] {
        assert_eq!(through.pointer(pointer), direct.pointer(pointer), "{pointer}");
    }
    for pointer in ["/cpu_stats/cpu_usage/total_usage", "/memory_stats/usage", "/networks/eth0/rx_bytes"] {
        let figure = |side: &Value| side.pointer(pointer).and_then(Value::as_u64);
        assert_eq!(figure(&through).is_some_and(|figure| figure > 0), figure(&direct).is_some_and(|figure| figure > 0));
    }
    Ok(())
}

/// The script uses curl if there is no docker command, as in Netdata's image, and the command otherwise.
fn netdata_names_a_control_group_and_reads_nothing_else() -> Outcome {
    const TOOLS: [&str; 7] = ["bash", "basename", "curl", "date", "grep", "jq", "sed"];
    let script = installed::client("cgroup-name.sh")?;
    let (engine, proxy) = behind("netdata")?;
    let tools = proxy.folder().join("tools");
    std::fs::create_dir_all(&tools).unwrap();
    for tool in TOOLS {
        std::os::unix::fs::symlink(installed::program(tool)?, tools.join(tool)).unwrap();
    }
    let web = client::get(&engine.socket(), "/containers/web/json").json();
    let id = web["Id"].as_str().unwrap();
    // What the script prints, and its trace, which shows all that it reads.
    let named = |socket: &str, path: &str| -> (String, String) {
        let mut command = Command::new(engine::find("bash").unwrap());
        command.args(["-x", &script, &format!("/docker/{id}"), &format!("docker_{id}")]);
        let run = command.env("PATH", path).env("DOCKER_HOST", socket).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        assert!(run.status.success(), "{}", cli::outputs(&run));
        (text(run.stdout), text(run.stderr))
    };
    let by_curl = |socket: &Path| named(socket.to_str().unwrap(), tools.to_str().unwrap());
    let (direct, through) = (by_curl(&engine.socket()), by_curl(&proxy.socket()));
    assert_eq!((direct.0.as_str(), through.0.as_str()), ("web\n", "web\n"));
    check_canaries("Netdata 1.37.1, cgroup-name.sh", &direct.1, &through.1);
    let docker = engine::find("docker").unwrap();
    let path = format!("{}:{}", tools.display(), docker.parent().unwrap().display());
    let (name, trace) = named(&format!("unix://{}", proxy.socket().display()), &path);
    assert!(name == "web\n" && trace.contains("docker inspect"), "{trace}");
    assert_no_canary("the trace of the docker command's answer", &trace);
    Ok(())
}
