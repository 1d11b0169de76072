//! A group whose workers are killed, stopped, frozen and started at random, under load.
//!
//! Sources read tables and files that grow, sinks write what the sources have sent to files.
//!
//! After each event the group settles: every connector and every task runs, each on one worker that
//! lives, as the status topic says and, beside it, what shows that a task runs: the connection that
//! holds a replication slot, the open file, the members of a sink's consumer group; the work is
//! spread evenly; and no more was moved than had to be. At the end everything that the load wrote is
//! in the topics, and everything that is in the topics is in the sinks' files.
//!
//! | variable | what |
//! |---|---|
//! | `RIVERRUN_TEST_CHAOS_SECONDS` | how long a group is disturbed; 45 |
//! | `RIVERRUN_TEST_CHAOS_GROUP` | `jvm`: groups of JVM workers alone, for comparison |
//! | `RIVERRUN_TEST_SEED` | repeats a run's chance |

mod cluster;
mod load;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use cluster::{Cluster, Layout, Peer};
use load::Load;
use work::{Holds, Place, Work};

use crate::harness::{database::Database, link::Link, random::Random, servers, topics, wait_for};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// `kill -9`.
    Kill,
    /// SIGTERM, and the end is waited for.
    Terminate,
    /// A stop of all threads for longer than the session lasts, as by a host that hangs.
    Freeze,
    /// The end of that: it does not know yet that the others have taken its work.
    Thaw,
    /// Nothing passes between it and Kafka, for longer than the session lasts; all else goes on.
    Cut,
    /// The end of that.
    Mend,
    /// A stop that is shorter than the session.
    Nap,
    Start,
}

/// What an event has led to.
struct Outcome {
    event: Event,
    took: Duration,
    /// Parts that run on another worker than before.
    moved: usize,
    /// Of these the parts whose worker was no longer there.
    orphans: usize,
    /// Tasks and connectors that said that they run, again or anew.
    started: usize,
}

struct Scene {
    cluster: Cluster,
    database: Arc<Database>,
    kafka: String,
    prefix: &'static str,
    random: Random,
    outcomes: Vec<Outcome>,
}

impl Scene {
    /// A group of `jvm` workers of the JVM and `own` of ours, with all its connectors running.
    /// The last of them may reach Kafka by a `link`, which can be cut.
    fn new(
        prefix: &'static str,
        jvm: usize,
        own: usize,
        link: Option<&str>,
    ) -> Option<(Self, Load)> {
        let (Some(postgres), Some(kafka), Some(listeners)) =
            (servers::postgres(prefix), servers::kafka(prefix), servers::listeners(prefix))
        else {
            return None;
        };
        let seed = Random::seed(prefix);
        let (jvm, own) = match env::var("RIVERRUN_TEST_CHAOS_GROUP").as_deref() {
            Ok("jvm") => (jvm + own, 0),
            _ => (jvm, own),
        };
        topics::delete(&kafka, prefix);
        let database = Arc::new(Database::create(&postgres, prefix));
        let place = Place::new(prefix, &kafka, database.clone());
        load::prepare(&place);
        let work = work::all(&place);
        let link = link.map(|name| {
            let (inside, outside) = (&listeners[name], &listeners[&format!("{name}_outside")]);
            (Link::open(outside, inside), outside)
        });
        let peers = (0..jvm + own).map(|n| {
            let link = link.as_ref().filter(|_| n + 1 == jvm + own);
            let kafka = link.map_or(&kafka, |(_, outside)| outside);
            let peer = match n < jvm {
                true => Peer::jvm(prefix, n, kafka),
                false => Peer::own(prefix, n, kafka),
            };
            match link {
                Some((link, outside)) => peer.behind(link.clone(), outside),
                None => peer,
            }
        });
        let peers = peers.collect();
        let mut cluster = Cluster::new(prefix, &kafka, peers, database.clone());
        (0..jvm + own).for_each(|n| cluster.start(n));
        for Work { name, config, .. } in &work {
            cluster.rest().put(name, config);
        }
        cluster.work = work;
        cluster.settle("the first round");
        let slots = cluster.work.iter().filter(|work| work.holds == Holds::Slot);
        let names: Vec<String> = slots.map(|work| work.name.clone()).collect();
        // From here on all that is written is streamed, whoever takes over.
        let load = Load::start(place, seed);
        for name in &names {
            wait_for(
                &format!("the end of the snapshot of {name}"),
                Duration::from_secs(90),
                || {
                    let path = format!("/connectors/{name}/offsets");
                    let stored = cluster.rest().call("GET", &path, None);
                    let offset = stored["offsets"].get(0)?.get("offset")?;
                    offset.get("snapshot").is_none().then_some(())
                },
            );
        }
        let random = Random::new(seed);
        let scene = Self { cluster, database, kafka, prefix, random, outcomes: Vec::new() };
        Some((scene, load))
    }

    /// Something that can happen to a worker now. At least one is always well.
    fn choose(&mut self) -> (usize, Event) {
        loop {
            let place = self.random.between(0, self.cluster.peers.len() as u64 - 1) as usize;
            let peer = &self.cluster.peers[place];
            let others = self.cluster.live().len() > 1;
            // A JVM's source that hung stores, as its last word, offsets that its successor has long
            // gone beyond; Debezium then refuses to begin there, as in a group of JVMs alone.
            let hangs = if peer.is_own() { Event::Freeze } else { Event::Nap };
            let events = match () {
                () if peer.is_cut() => vec![Event::Mend, Event::Mend, Event::Kill],
                () if peer.is_frozen() => vec![Event::Thaw, Event::Thaw, Event::Kill],
                () if peer.is_down() => vec![Event::Start],
                () if others && peer.has_link() => {
                    vec![Event::Cut, Event::Cut, Event::Kill, Event::Terminate, hangs, Event::Nap]
                }
                () if others => vec![Event::Kill, Event::Terminate, hangs, Event::Nap],
                // Mostly somebody else comes back then.
                () if self.random.chance(80) => continue,
                () => vec![Event::Nap],
            };
            return (place, *self.random.pick(&events));
        }
    }

    fn disturb(&mut self, before: &Layout) -> Layout {
        // Sometimes two things happen at once.
        let count = if self.random.chance(25) { 2 } else { 1 };
        let mut events = Vec::new();
        let mut joined = 0;
        // Work of a worker that ends has to move, even if the worker is back at once.
        let mut left = BTreeSet::new();
        for _ in 0..count {
            let (place, event) = self.choose();
            eprintln!("{}: {event:?} of {}", self.prefix, self.cluster.peers[place].id());
            match event {
                Event::Kill => self.cluster.kill(place),
                Event::Terminate => self.cluster.terminate(place),
                Event::Freeze => self.cluster.freeze(place),
                Event::Thaw => self.cluster.thaw(place),
                Event::Cut => self.cluster.cut(place),
                Event::Mend => self.cluster.mend(place),
                Event::Nap => self.cluster.nap(place, self.random.between(500, 3_000)),
                Event::Start => self.cluster.start(place),
            }
            joined += usize::from(matches!(event, Event::Thaw | Event::Mend | Event::Start));
            if matches!(event, Event::Kill | Event::Terminate | Event::Freeze | Event::Cut) {
                left.insert(self.cluster.peers[place].id().to_owned());
            }
            events.push(event);
        }
        let (after, took) = self.cluster.settle(&format!("{events:?}"));
        let live = self.cluster.live();
        let moved = after.iter().filter(|(part, worker)| before.get(*part) != Some(worker)).count();
        let orphan = |worker: &&String| !live.contains(worker) || left.contains(*worker);
        let orphans = before.values().filter(orphan).count();
        let started = self.cluster.started();
        eprintln!(
            "{}: {events:?}: settled in {:.1} s, {moved} moved, {orphans} had to, {started} \
             started, {} workers",
            self.prefix,
            took.as_secs_f64(),
            live.len()
        );
        // A worker that joins is given its share, of connectors and of tasks; and where work that
        // was left finds no even place, a part of each may have to move once more.
        let share = |count: usize| count.div_ceil(live.len());
        let tasks: usize = self.cluster.work.iter().map(|work| work.tasks).sum();
        let bound = orphans + joined * (share(self.cluster.work.len()) + share(tasks)) + 2 * count;
        assert!(
            moved <= bound,
            "{events:?} moved {moved} parts, {bound} at most:\n{before:?}\n{after:?}"
        );
        for event in events {
            self.outcomes.push(Outcome { event, took, moved, orphans, started });
        }
        after
    }

    fn run(mut self, load: Load) {
        let seconds = env::var("RIVERRUN_TEST_CHAOS_SECONDS")
            .map_or(45, |text| text.parse().expect("RIVERRUN_TEST_CHAOS_SECONDS is a number"));
        let (mut layout, _) = self.cluster.settle("the first round, under load");
        self.cluster.started();
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            layout = self.disturb(&layout);
        }
        self.report();
        self.end(load);
    }

    /// Checks what has arrived, and ends all.
    fn end(self, load: Load) {
        let place = load.finish();
        load::check(&place);
        load::check_sinks(&place, &self.cluster.work);
        for work in &self.cluster.work {
            self.cluster.rest().call("DELETE", &format!("/connectors/{}", work.name), None);
        }
        wait_for("the end of all tasks", Duration::from_secs(60), || {
            let slots = "SELECT count(*) FROM pg_replication_slots
                           WHERE active AND database = current_database()";
            (self.database.value(slots) == "0").then_some(())
        });
        self.cluster.end();
        topics::delete(&self.kafka, self.prefix);
        place.forget();
    }

    fn report(&self) {
        let mut kinds: BTreeMap<Event, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &self.outcomes {
            kinds.entry(outcome.event).or_default().push(outcome);
        }
        for (event, outcomes) in kinds {
            let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(|o| of(o)).sum::<usize>();
            let took: f64 = outcomes.iter().map(|outcome| outcome.took.as_secs_f64()).sum();
            eprintln!(
                "{}: {} × {event:?}: {:.1} s to settle on average, {} parts moved, {} had to, {} \
                 started",
                self.prefix,
                outcomes.len(),
                took / outcomes.len() as f64,
                sum(|o| o.moved),
                sum(|o| o.orphans),
                sum(|o| o.started)
            );
        }
    }
}

#[test]
fn a_group_of_three() {
    let Some((scene, load)) = Scene::new("chaos_three", 0, 3, Some("link1")) else { return };
    scene.run(load);
}

/// A worker hangs, another has its work and goes on with it, and leaves as the first one comes back:
/// whose tasks are given to it again, as far as it has them still.
#[test]
fn a_worker_hangs_until_its_successor_leaves() {
    let Some((mut scene, load)) = Scene::new("chaos_successor", 0, 2, None) else { return };
    scene.cluster.freeze(0);
    scene.cluster.settle("the first worker hangs");
    scene.cluster.thaw(0);
    scene.cluster.terminate(1);
    scene.cluster.settle("the second worker leaves");
    scene.end(load);
}

#[test]
fn a_group_with_two_jvm_workers() {
    let name = "chaos_mixed";
    if servers::connect(name).is_none() {
        return;
    }
    let Some((scene, load)) = Scene::new(name, 2, 2, Some("link2")) else { return };
    scene.run(load);
}
