//! The workers of one group, ours and the JVM's, and who of them runs what.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::consumer::BaseConsumer;
use serde_json::Value;

use super::{Holds, Work};
use crate::harness::{
    database::Database,
    jvm::{self, Jvm},
    link::Link,
    rest::Rest,
    sockets,
    topics::{self, Follower},
    wait_for,
    worker::{Home, Worker, signal},
};

/// The broker allows no less.
const SESSION: &str = "session.timeout.ms=6000;heartbeat.interval.ms=1500;\
                       scheduled.rebalance.max.delay.ms=2000;status.storage.partitions=1;\
                       offset.flush.interval.ms=1000";

/// How long nothing changes before a group counts as settled: longer than a heartbeat, by which a
/// worker hears of a round, and the pause before work that was left is given away.
const CALM: Duration = Duration::from_millis(3_500);

const SETTLE: Duration = Duration::from_secs(120);

/// By connector, or connector and task, the worker that runs it.
pub(super) type Layout = BTreeMap<String, String>;

enum Place {
    Own(Home),
    Jvm(Jvm),
}

enum Process {
    Own(Worker),
    Jvm(jvm::Process),
}

impl Process {
    fn pid(&self) -> u32 {
        match self {
            Process::Own(worker) => worker.child.id(),
            Process::Jvm(process) => process.pid,
        }
    }
}

/// One worker, running or not.
pub(super) struct Peer {
    place: Place,
    process: Option<Process>,
    frozen: bool,
    /// Its way to Kafka, and whether that is cut now.
    link: Option<(Link, String)>,
    cut: bool,
    rest: Rest,
}

impl Peer {
    pub(super) fn own(group: &str, n: usize, kafka: &str) -> Self {
        let mut home = Home::of_group(&format!("{group}_{n}"), kafka, group);
        home.properties.push_str(&SESSION.replace(';', "\n"));
        home.properties.push('\n');
        let rest = Rest { url: format!("http://127.0.0.1:{}", home.port) };
        Self::down(Place::Own(home), rest)
    }

    pub(super) fn jvm(group: &str, n: usize, kafka: &str) -> Self {
        let port = 28_200 + 10 * n as u16;
        let name = format!("chaos-{n}");
        let place = Place::Jvm(Jvm::new(&name, port, kafka, group, SESSION));
        let rest = Rest { url: String::new() };
        Self::down(place, rest)
    }

    fn down(place: Place, rest: Rest) -> Self {
        Self { place, process: None, frozen: false, link: None, cut: false, rest }
    }

    /// The same with a way to Kafka that can be cut, from `outside`, which it was told of.
    pub(super) fn behind(mut self, link: Link, outside: &str) -> Self {
        self.link = Some((link, outside.to_owned()));
        self
    }

    pub(super) fn has_link(&self) -> bool {
        self.link.is_some()
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// As it stands in statuses.
    pub(super) fn id(&self) -> &str {
        self.rest.url.trim_start_matches("http://")
    }

    pub(super) fn is_down(&self) -> bool {
        self.process.is_none()
    }

    pub(super) fn is_own(&self) -> bool {
        matches!(self.place, Place::Own(_))
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn is_live(&self) -> bool {
        !self.is_down() && !self.frozen && !self.cut
    }

    fn log(&self) -> String {
        match &self.place {
            Place::Own(home) => home.log(),
            Place::Jvm(_) => String::new(),
        }
    }
}

pub(super) struct Cluster {
    prefix: &'static str,
    pub(super) peers: Vec<Peer>,
    pub(super) work: Vec<Work>,
    database: Arc<Database>,
    /// For questions about consumer groups.
    kafka: BaseConsumer,
    statuses: Follower,
}

impl Cluster {
    pub(super) fn new(
        prefix: &'static str,
        kafka: &str,
        peers: Vec<Peer>,
        database: Arc<Database>,
    ) -> Self {
        let statuses = Follower::new(kafka, &format!("{prefix}-status"));
        let kafka = topics::consumer(kafka);
        Self { prefix, peers, work: Vec::new(), database, kafka, statuses }
    }

    /// The workers that take part, as statuses name them.
    pub(super) fn live(&self) -> Vec<String> {
        self.peers.iter().filter(|peer| peer.is_live()).map(|peer| peer.id().to_owned()).collect()
    }

    /// A worker that answers.
    pub(super) fn rest(&self) -> &Rest {
        &self.peers.iter().find(|peer| peer.is_live()).expect("one is always well").rest
    }

    pub(super) fn start(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        let process = match &peer.place {
            Place::Own(home) => Process::Own(home.start(&[])),
            Place::Jvm(jvm) => Process::Jvm(jvm.start()),
        };
        if let Process::Jvm(process) = &process {
            peer.rest.url.clone_from(&process.url);
        }
        peer.process = Some(process);
    }

    pub(super) fn kill(&mut self, place: usize) {
        if self.peers[place].cut {
            self.mend(place);
        }
        let peer = &mut self.peers[place];
        peer.frozen = false;
        match peer.process.take().expect("it runs") {
            Process::Own(worker) => worker.kill(),
            Process::Jvm(process) => {
                signal("-KILL", process.pid);
                wait_for("a killed JVM's end", Duration::from_secs(30), || {
                    (!process.lives()).then_some(())
                });
            }
        }
    }

    pub(super) fn terminate(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        match peer.process.take().expect("it runs") {
            Process::Own(worker) => {
                let status = worker.terminate();
                assert!(status.success(), "{} ended with {status}\n{}", peer.id(), peer.log());
            }
            Process::Jvm(process) => {
                signal("-TERM", process.pid);
                wait_for("a stopped JVM's end", Duration::from_secs(90), || {
                    (!process.lives()).then_some(())
                });
            }
        }
    }

    pub(super) fn freeze(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        signal("-STOP", peer.process.as_ref().expect("it runs").pid());
        peer.frozen = true;
    }

    pub(super) fn thaw(&mut self, place: usize) {
        let peer = &mut self.peers[place];
        signal("-CONT", peer.process.as_ref().expect("it runs").pid());
        peer.frozen = false;
    }

    pub(super) fn cut(&mut self, place: usize) {
        self.link(place, true);
    }

    pub(super) fn mend(&mut self, place: usize) {
        self.link(place, false);
    }

    fn link(&mut self, place: usize, cut: bool) {
        let peer = &mut self.peers[place];
        let (link, _) = peer.link.as_ref().expect("it has one");
        if cut {
            link.cut()
        } else {
            link.mend()
        }
        peer.cut = cut;
    }

    /// Shorter than the session lasts.
    pub(super) fn nap(&mut self, place: usize, millis: u64) {
        self.freeze(place);
        thread::sleep(Duration::from_millis(millis)); // The nap itself.
        self.thaw(place);
    }

    /// Waits until all runs where it should, and nothing changes any more. With how long it took
    /// until then.
    pub(super) fn settle(&mut self, after: &str) -> (Layout, Duration) {
        let begun = Instant::now();
        let end = Instant::now() + SETTLE;
        let mut last: Option<(Layout, Instant)> = None;
        loop {
            let found = self.look();
            match (&found, &last) {
                (Ok(layout), Some((same, since))) if layout == same => {
                    if since.elapsed() > CALM {
                        return (layout.clone(), *since - begun);
                    }
                }
                (Ok(layout), _) => last = Some((layout.clone(), Instant::now())),
                (Err(_), _) => last = None,
            }
            for peer in &mut self.peers {
                let id = peer.rest.url.clone();
                if let Some(Process::Own(worker)) = &mut peer.process
                    && let Some(status) = worker.child.try_wait().expect("the child")
                {
                    panic!("{id} ended by itself: {status}\n{}", peer.log());
                }
            }
            if Instant::now() > end {
                let logs: Vec<String> = self
                    .peers
                    .iter()
                    .map(|peer| format!("--- {}\n{}", peer.id(), peer.log()))
                    .collect();
                panic!(
                    "{}: not settled {SETTLE:?} after {after}: {}\n{}",
                    self.prefix,
                    found.err().unwrap_or_else(|| "it changes".to_owned()),
                    logs.join("\n")
                );
            }
            thread::sleep(Duration::from_millis(200)); // Between two looks.
        }
    }

    /// Who runs what, or what is not as it should be yet.
    fn look(&self) -> Result<Layout, String> {
        let live = self.live();
        let mut seen: Option<Layout> = None;
        for peer in self.peers.iter().filter(|peer| peer.is_live()) {
            let layout = self.told(peer, &live)?;
            match &seen {
                Some(other) if *other != layout => {
                    return Err(format!("{} knows other statuses than the first", peer.id()));
                }
                _ => seen = Some(layout),
            }
        }
        let layout = seen.expect("one is always well");
        for kind in [false, true] {
            let count = |worker: &String| {
                layout
                    .iter()
                    .filter(|(part, at)| part.contains('/') == kind && *at == worker)
                    .count()
            };
            let counts: Vec<usize> = live.iter().map(count).collect();
            if counts.iter().max() > counts.iter().min().map(|least| least + 1).as_ref() {
                return Err(format!("it is spread unevenly: {counts:?} on {live:?}"));
            }
        }
        self.connected(&layout)?;
        self.opened(&layout)?;
        self.joined()?;
        Ok(layout)
    }

    /// The statuses as one worker tells them.
    fn told(&self, peer: &Peer, live: &[String]) -> Result<Layout, String> {
        let answer = peer.rest.try_ask("GET", "/connectors?expand=status");
        let answer = answer.map_err(|error| format!("{}: {error}", peer.id()))?;
        if answer.status != 200 {
            return Err(format!("{}: {} {}", peer.id(), answer.status, answer.body));
        }
        let all: Value = serde_json::from_str(&answer.body).expect("JSON");
        let mut layout = Layout::new();
        for Work { name, tasks, .. } in &self.work {
            let status = &all[name]["status"];
            let told = status["tasks"].as_array().map_or(0, Vec::len);
            if told != *tasks {
                return Err(format!("{name} has {told} tasks: {status}"));
            }
            let parts = status["tasks"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|task| (format!("{name}/{}", task["id"]), task));
            for (part, status) in parts.chain([(name.clone(), &status["connector"])]) {
                let worker = status["worker_id"].as_str().unwrap_or_default().to_owned();
                if status["state"] != "RUNNING" || !live.contains(&worker) {
                    return Err(format!("{part}: {status}, live are {live:?}"));
                }
                layout.insert(part, worker);
            }
        }
        Ok(layout)
    }

    /// That each slot is held by the worker that says so, and that no worker beside those holds a
    /// replication connection.
    fn connected(&self, layout: &Layout) -> Result<(), String> {
        let pids: BTreeMap<u32, &str> = self
            .peers
            .iter()
            .filter_map(|peer| Some((peer.process.as_ref()?.pid(), peer.id())))
            .collect();
        let server = self.database.port.parse().expect("the server's port");
        let owners = sockets::owners(&pids.keys().copied().collect::<Vec<_>>(), server);
        let rows = self.database.query(
            "SELECT coalesce(s.slot_name, ''), r.client_port
               FROM pg_stat_replication r JOIN pg_stat_activity a USING (pid)
               LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
               WHERE a.datname = current_database()",
        );
        let mut held = BTreeMap::new();
        for row in rows {
            let (slot, port) = row.split_once('\t').expect("two columns");
            let port: u16 = port.parse().expect("a port");
            let owner = owners.get(&port).map_or("nobody", |pid| pids[pid]);
            if slot.is_empty() || held.insert(slot.to_owned(), owner).is_some() {
                return Err(format!("{owner} has a replication connection too many: {slot:?}"));
            }
        }
        for Work { name, .. } in self.work.iter().filter(|work| work.holds == Holds::Slot) {
            let says = layout[&format!("{name}/0")].as_str();
            let holds = held.remove(name).unwrap_or("nobody");
            if holds != says {
                return Err(format!("{name} is held by {holds}, its task runs on {says}"));
            }
        }
        Ok(())
    }

    /// That each worker has a file open as often as it runs tasks that read or write it.
    fn opened(&self, layout: &Layout) -> Result<(), String> {
        for peer in &self.peers {
            // A worker that is frozen can't close anything, and a JVM that is cut off waits long for
            // its consumers' last words.
            let ours = matches!(peer.process, Some(Process::Own(_)));
            let Some(process) = peer.process.as_ref().filter(|_| !peer.frozen) else { continue };
            if peer.cut && !ours {
                continue;
            }
            let open = sockets::files(process.pid());
            for Work { name, holds, .. } in &self.work {
                let (Holds::File(file) | Holds::Group { file, .. }) = holds else { continue };
                let has = open.iter().filter(|path| *path == file).count();
                let task_of = |part: &str| part.split_once('/').is_some_and(|(of, _)| of == name);
                let runs = |(part, at): &(&String, &String)| task_of(part) && *at == peer.id();
                let says = layout.iter().filter(runs).count();
                if has != says {
                    let id = peer.id();
                    return Err(format!(
                        "{id} has {name}'s file open {has} times for {says} tasks"
                    ));
                }
            }
        }
        Ok(())
    }

    /// That the consumer group of each sink has its tasks for members, and nobody beside.
    fn joined(&self) -> Result<(), String> {
        for Work { name, tasks, holds, .. } in &self.work {
            let Holds::Group { .. } = holds else { continue };
            let members = topics::members(&self.kafka, &format!("connect-{name}"))?;
            let want: Vec<String> =
                (0..*tasks).map(|task| format!("connector-consumer-{name}-{task}")).collect();
            if members != want {
                return Err(format!("{name}'s consumer group has the members {members:?}"));
            }
        }
        Ok(())
    }

    /// How many parts have said since the last call that they run.
    pub(super) fn started(&mut self) -> usize {
        let mut started = 0;
        let mut silent = 0;
        // The last status was written before it was seen; an empty look may come before its bytes.
        while silent < 5 {
            let Some(record) = self.statuses.next() else {
                silent += 1;
                continue;
            };
            silent = 0;
            let key = record.key.unwrap_or_default();
            let part = [&b"status-connector-"[..], b"status-task-"]
                .iter()
                .any(|prefix| key.starts_with(prefix));
            let Some(value) = record.value.filter(|_| part) else { continue };
            let value: Value = serde_json::from_slice(&value).expect("a status");
            started += usize::from(value["state"] == "RUNNING");
        }
        started
    }

    /// Ends all workers, as a service manager does.
    pub(super) fn end(mut self) {
        for place in 0..self.peers.len() {
            match &self.peers[place] {
                peer if peer.is_down() => {}
                peer if !peer.is_live() => self.kill(place),
                _ => self.terminate(place),
            }
        }
        for (link, outside) in self.peers.iter().filter_map(|peer| peer.link.as_ref()) {
            link.end(outside);
        }
    }
}
