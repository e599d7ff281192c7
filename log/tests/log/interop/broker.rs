//! A Kafka broker of one node, started to write files and stopped again.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::kafka::Kafka;

/// A running broker; ended when dropped.
pub(super) struct Broker {
    process: Child,
}

impl Broker {
    /// Has a broker write what `Scenario.java` asks for into `data` under `dir`, and stops it cleanly.
    pub(super) fn write(kafka: &Kafka, dir: &Path) {
        let (port, controller) = (free_port(), free_port());
        let properties = dir.join("server.properties");
        fs::write(&properties, settings(port, controller, &dir.join("data"))).unwrap();
        let properties = properties.to_str().unwrap();
        let format = ["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", properties];
        let output = kafka.java(&format).output().unwrap();
        assert!(output.status.success(), "{output:?}");

        let mut command = kafka.java(&["kafka.Kafka", properties]);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut broker = Self { process };
        let scenario = dir.join("Scenario.java");
        fs::write(&scenario, include_str!("Scenario.java")).unwrap();
        let (bootstrap, data) = (format!("127.0.0.1:{port}"), dir.join("data"));
        let arguments = [scenario.to_str().unwrap(), &bootstrap, data.to_str().unwrap()];
        let output = kafka.java(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        broker.stop();
    }

    fn stop(&mut self) {
        let pid = Pid::from_child(&self.process);
        // It has ended already if this fails.
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.process.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}

fn settings(port: u16, controller: u16, data: &Path) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n\
         log.initial.task.delay.ms=500\n\
         log.cleaner.backoff.ms=100\n",
        data.display()
    )
}
