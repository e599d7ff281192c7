//! Making a log open again that does not for the sake of a file of its own: what the file said is taken from the
//! directories of the partitions, as far as they know.
//!
//! | File | Found anew | Lost |
//! | --- | --- | --- |
//! | `meta.properties` | | the ids of cluster and directory, in place of which there are new ones |
//! | `catalogue.json` | topics with their ids and partitions, and whether they were compacted | their other settings; until somebody sets them, nothing is deleted by age |
//! | `producer-id-block` | ids in use, by the next start | which ids were handed out and not used |
//!
//! The file is kept under another name, ending in `.damaged`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalogue::{self, Topic, TopicId};
use crate::checkpoint;
use crate::cleaner;
use crate::engine::{META, is_meta};
use crate::error::{IoContext, LogError, Result};
use crate::lock::DirectoryLock;
use crate::repair::RepairMode;
use crate::storage::Storage;
use crate::transaction::{PRODUCER_IDS, ProducerIds};

/// A file of the log's own that could not be read, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// What was found anew, and what was lost.
    pub outcome: String,
}

/// Looks at the log's own files in `dir`, and rebuilds those that cannot be read unless this is a dry run.
pub(crate) fn salvage(
    storage: &dyn Storage,
    dir: &Path,
    mode: RepairMode,
    random: &mut fastrand::Rng,
) -> Result<Vec<Salvaged>> {
    match storage.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => drop(entries.context("list", dir)?),
    }
    let _lock = DirectoryLock::acquire(storage, dir)?;
    let mut salvaged = Vec::new();

    let path = dir.join(META);
    let meta = checkpoint::read_text(storage, &path).and_then(|text| match text {
        Some(text) if !is_meta(&text) => {
            Err(LogError::InvalidFile { path: path.clone(), reason: "it does not say version=1".to_owned() })
        }
        _ => Ok(()),
    });
    if let Some(reason) = unreadable(meta)? {
        let outcome = "the next start writes new ids of cluster and directory".to_owned();
        salvaged.push(Salvaged { path, reason, outcome });
    }

    let path = dir.join(catalogue::FILE);
    let mut rebuilt = None;
    if let Some(reason) = unreadable(check_catalogue(storage, dir, &path))? {
        let topics = find_topics(storage, dir, random)?;
        let named: Vec<_> =
            topics.iter().map(|topic| format!("{} ({})", topic.name, topic.partition_count())).collect();
        let outcome = format!(
            "topics by their directories, with partitions: {}; their settings are lost, and nothing of them is deleted \
             by age until retention.ms is set",
            if named.is_empty() { "none".to_owned() } else { named.join(", ") }
        );
        salvaged.push(Salvaged { path, reason, outcome });
        rebuilt = Some(topics);
    }

    let path = dir.join(PRODUCER_IDS);
    if let Some(reason) = unreadable(ProducerIds::default().load(storage, dir).map(drop))? {
        let outcome = "the next start counts producer ids anew from those in use".to_owned();
        salvaged.push(Salvaged { path, reason, outcome });
    }

    if mode == RepairMode::Apply && !salvaged.is_empty() {
        for Salvaged { path, .. } in &salvaged {
            let mut kept = path.clone().into_os_string();
            kept.push(".damaged");
            match storage.rename(path, Path::new(&kept)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                outcome => outcome.context("rename", path)?,
            }
        }
        storage.sync_dir(dir).context("sync", dir)?;
        if let Some(topics) = rebuilt {
            let topics: Vec<_> = topics.into_iter().map(Arc::new).collect();
            catalogue::write(storage, &dir.join(catalogue::FILE), &topics)?;
        }
    }
    Ok(salvaged)
}

/// Why a file cannot be understood, if that is so.
fn unreadable(outcome: Result<()>) -> Result<Option<String>> {
    match outcome {
        Ok(()) => Ok(None),
        Err(LogError::InvalidFile { reason, .. }) => Ok(Some(reason)),
        // What it says is no setting.
        Err(error @ (LogError::InvalidConfig { .. } | LogError::UnknownConfig { .. })) => {
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

fn check_catalogue(storage: &dyn Storage, dir: &Path, path: &Path) -> Result<()> {
    catalogue::read(storage, path, &BTreeMap::new())?;
    let is_there = checkpoint::read_text(storage, path)?.is_some();
    if is_there || partitions(storage, dir)?.is_empty() {
        return Ok(());
    }
    let reason = "it is missing, though there are partitions".to_owned();
    Err(LogError::InvalidFile { path: path.to_path_buf(), reason })
}

/// Numbers of the partitions that have a directory, by topic.
fn partitions(storage: &dyn Storage, dir: &Path) -> Result<BTreeMap<String, Vec<u32>>> {
    let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for entry in storage.list(dir).context("list", dir)?.into_iter().filter(|entry| entry.is_dir) {
        let Some((topic, number)) = entry.name.rsplit_once('-') else { continue };
        let number = number.parse().ok().filter(|number| *number < catalogue::PARTITIONS_MAX);
        // What is left of deleted topics does not end in a number.
        if let Some(number) = number
            && catalogue::check_name(topic, []).is_ok()
        {
            found.entry(topic.to_owned()).or_default().push(number);
        }
    }
    Ok(found)
}

fn find_topics(storage: &dyn Storage, dir: &Path, random: &mut fastrand::Rng) -> Result<Vec<Topic>> {
    let compacted = cleaner::compacted(storage, dir)?;
    let mut topics = Vec::new();
    for (name, numbers) in partitions(storage, dir)? {
        let mut id = None;
        for number in &numbers {
            let path = dir.join(format!("{name}-{number}")).join("partition.metadata");
            if let Ok(Some(text)) = checkpoint::read_text(storage, &path) {
                let line = text.lines().find_map(|line| line.strip_prefix("topic_id:"));
                id = id.or_else(|| TopicId::parse(line?.trim()));
            }
        }
        let was_compacted = compacted.iter().any(|(id, below)| *id.topic == *name && below.get() > 0);
        let mut settings = BTreeMap::new();
        if catalogue::is_internal(&name) {
            settings.extend(catalogue::internal_settings());
        } else if was_compacted {
            settings.insert("cleanup.policy".to_owned(), "compact".to_owned());
        } else {
            settings.insert("retention.ms".to_owned(), "-1".to_owned());
        }
        let count = numbers.into_iter().max().map_or(1, |last| last + 1);
        let id = id.unwrap_or_else(|| TopicId::random(random));
        topics.push(Topic::new(&name, id, count, settings, &BTreeMap::new())?);
    }
    Ok(topics)
}
