//! What all handles to a log share, from open to close.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::checkpoints::Checkpoints;
use super::maintenance::Schedule;
use crate::catalogue::{self, Topic, TopicId};
use crate::checkpoint::{self, Offsets};
use crate::cleaner::Cleaner;
use crate::clock::Clock;
use crate::config::LogConfig;
use crate::error::{IoContext, LogError, Result};
use crate::group::{Coordination, GroupOffsets};
use crate::lock::DirectoryLock;
use crate::mutex::Mutex;
use crate::partition::{Partition, Surroundings};
use crate::recovery::{self, Checkpoint};
use crate::signal::Watchers;
use crate::storage::{self, CachedStorage, OpenMode, Storage};
use crate::tail::TailBudget;
use crate::transaction::Transactions;
use crate::types::{Offset, PartitionId, TopicPartition};

const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
pub(crate) const META: &str = "meta.properties";

/// What all handles share.
pub(crate) struct Inner {
    pub(super) dir: PathBuf,
    pub(super) around: Surroundings,
    pub(crate) config: LogConfig,
    pub(super) topics: Mutex<BTreeMap<Arc<str>, Arc<Topic>>>,
    /// Held while topics are created or deleted.
    pub(super) changing: Mutex<()>,
    /// Held while checkpoints are written, so that none takes the place of a newer one.
    pub(super) checkpointing: Mutex<Checkpoints>,
    pub(super) schedule: Schedule,
    pub(crate) groups: GroupOffsets,
    pub(crate) coordination: Coordination,
    pub(super) catalogue_version: AtomicU64,
    pub(super) catalogue_watchers: Watchers,
    pub(crate) transactions: Transactions,
    pub(super) cleaner: Cleaner,
    /// Whether all of it was read; a log that could not be opened must not be marked as cleanly closed.
    pub(super) is_loaded: AtomicBool,
    pub(super) is_closed: AtomicBool,
    pub(super) lock: Mutex<Option<DirectoryLock>>,
}

impl Inner {
    pub(super) fn open(
        dir: PathBuf,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        random: fastrand::Rng,
        config: LogConfig,
    ) -> Result<Self> {
        let storage: Arc<dyn Storage> = Arc::new(CachedStorage::new(storage, config.files_max));
        let random = Arc::new(Mutex::new(random));
        recovery::ensure_dir_durably(&*storage, &dir)?;
        let lock = DirectoryLock::acquire(&*storage, &dir)?;
        write_meta(&*storage, &dir, &mut random.lock())?;
        let recovery_points = checkpoint::read_or_none(&*storage, &dir.join(checkpoint::RECOVERY_POINT))?;
        let log_starts = checkpoint::read_or_none(&*storage, &dir.join(checkpoint::LOG_START))?;
        let cleaner = Cleaner::open(&*storage, &dir)?;
        let topics = catalogue::read(&*storage, &dir.join(catalogue::FILE), &config.topic_defaults)?;
        let entries = storage.list(&dir).context("list", &dir)?;
        let is_clean = entries.iter().any(|entry| entry.name == CLEAN_SHUTDOWN);
        if is_clean {
            // Gone for certain before anything is written.
            let path = dir.join(CLEAN_SHUTDOWN);
            storage.remove_file(&path).context("remove", &path)?;
        }
        // A killed process may have left names in memory only, and what is read here counts from now on.
        storage.sync_dir(&dir).context("sync", &dir)?;

        let coordination = Coordination::new(config.groups.clone(), random.lock().fork());
        let budget = Arc::new(TailBudget::new(config.tail_bytes, config.tail_bytes_total));
        let inner = Self {
            dir,
            schedule: Schedule::new(&*clock, &config),
            config,
            topics: Mutex::new(
                topics.into_iter().map(|topic| (topic.name.clone(), Arc::new(topic))).collect(),
            ),
            changing: Mutex::default(),
            checkpointing: Mutex::default(),
            groups: GroupOffsets::default(),
            coordination,
            catalogue_version: AtomicU64::new(0),
            catalogue_watchers: Watchers::default(),
            transactions: Transactions::default(),
            cleaner,
            is_loaded: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
            around: Surroundings { storage, clock, random, budget, written: Arc::default() },
        };
        let dirs: BTreeSet<&str> =
            entries.iter().filter(|entry| entry.is_dir).map(|entry| &*entry.name).collect();
        for topic in inner.all_topics().into_iter().filter(|topic| !topic.is_deleting) {
            for number in 0..topic.partition_count() {
                let id = TopicPartition { topic: topic.name.clone(), partition: PartitionId::new(number) };
                let recovery_point = recovery_points.get(&id).copied();
                let exists = dirs.contains(&*topic.dir_name(id.partition));
                if exists || recovery_point.is_some_and(|point| point > Offset::ZERO) {
                    let log_start = log_starts.get(&id).copied();
                    let compacted_below = inner.cleaner.compacted_below(&id);
                    let checkpoint = Checkpoint { recovery_point, log_start, compacted_below, is_clean };
                    inner.open_partition(&topic, id, checkpoint)?;
                }
            }
        }
        // Writes checkpoints, which are those of the partitions that are open.
        inner.finish_deletions()?;
        inner.remove_deleted_dirs()?;
        inner.replay(is_clean)?;
        inner.keep_spare();
        inner.is_loaded.store(true, Ordering::SeqCst);
        Ok(inner)
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.around.clock
    }

    /// A source of chance of its own for one client.
    pub(crate) fn fork_random(&self) -> fastrand::Rng {
        self.around.random.lock().fork()
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.around.storage
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::SeqCst) { Err(LogError::Closed) } else { Ok(()) }
    }

    pub(super) fn all_topics(&self) -> Vec<Arc<Topic>> {
        self.topics.lock().values().cloned().collect()
    }

    pub(crate) fn open_partitions(&self) -> Vec<Arc<Partition>> {
        let open = |topic: Arc<Topic>| {
            topic.partitions.iter().filter_map(|slot| slot.get().cloned()).collect::<Vec<_>>()
        };
        self.all_topics().into_iter().flat_map(open).collect()
    }

    pub(super) fn close(&self) -> Result<()> {
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.cleaner.wait();
        let lock = self.lock.lock().take();
        if !self.is_loaded.load(Ordering::SeqCst) {
            return Ok(());
        }
        if planted!("early_clean_marker") {
            self.mark_clean()?;
        }
        let (mut outcome, mut is_clean) = (Ok(()), true);
        let mut high_watermarks = Offsets::new();
        for partition in self.open_partitions() {
            match partition.close() {
                Ok(closed) => {
                    is_clean &= closed.is_clean;
                    high_watermarks.insert(partition.id().clone(), closed.recovery_point);
                }
                Err(error) => {
                    is_clean = false;
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome?;
        if let Err(error) = self.remove_deleted_dirs() {
            tracing::warn!(%error, "what a deleted topic left behind stays until the next start");
        }
        let path = self.dir.join(checkpoint::HIGH_WATERMARK);
        let written = self
            .write_checkpoints()
            .and_then(|()| checkpoint::write(self.storage(), &path, &high_watermarks))
            .and_then(|()| if is_clean { self.mark_clean() } else { Ok(()) });
        drop(lock);
        match written {
            // All records are on disk; without the mark the next start makes sure of it.
            Err(error @ LogError::DiskFull { .. }) => {
                tracing::warn!(%error, "closed without the mark of a clean close");
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn mark_clean(&self) -> Result<()> {
        let path = self.dir.join(CLEAN_SHUTDOWN);
        self.storage().open(&path, OpenMode::Truncate).context("create", &path)?;
        self.storage().sync_dir(&self.dir).context("sync", &self.dir)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, dir = %self.dir.display(), "could not close the log cleanly");
        }
    }
}

/// Whether a file marks a directory as a log of Kafka's layout, version 1.
pub(crate) fn is_meta(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "version=1")
}

/// Marks the directory as a log of Kafka's layout, version 1.
fn write_meta(storage: &dyn Storage, dir: &Path, random: &mut fastrand::Rng) -> Result<()> {
    let path = dir.join(META);
    if let Some(text) = checkpoint::read_text(storage, &path)? {
        if is_meta(&text) {
            return Ok(());
        }
        return Err(LogError::InvalidFile { path, reason: "it does not say version=1".to_owned() });
    }
    let (cluster, directory) = (TopicId::random(random), TopicId::random(random));
    let text = format!("version=1\ncluster.id={cluster}\nnode.id=1\ndirectory.id={directory}\n");
    storage::replace(storage, &path, text.as_bytes()).context("write", &path)
}
