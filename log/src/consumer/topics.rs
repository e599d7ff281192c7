//! What a consumer is subscribed to: topics by name or by pattern, and their changes.

use std::collections::BTreeSet;
use std::time::Duration;

use regex::Regex;

use super::{Consumer, membership::Membership};
use crate::catalogue::{self, NewTopic};
use crate::error::{LogError, Result};
use crate::types::TopicPartition;

/// A subscription, and when its topics were looked up.
#[derive(Debug)]
pub(super) struct Subscribed {
    wanted: Wanted,
    seen_version: u64,
    seen_at: Duration,
}

#[derive(Clone, Debug)]
enum Wanted {
    Names(BTreeSet<String>),
    /// Topics whose whole name matches.
    Pattern(Regex),
}

impl Consumer {
    /// Reads these topics, in place of what it read before: its share of the partitions if it has a `group.id`, which it
    /// gets in the next poll, else all of them. New partitions come by themselves.
    ///
    /// Creates missing topics if `allow.auto.create.topics` and the log's `auto.create.topics.enable` say so, or else
    /// fails with [`LogError::UnknownTopic`].
    pub fn subscribe(&mut self, topics: &[&str]) -> Result<()> {
        for name in topics {
            let inner = self.log.inner();
            match inner.topic(name) {
                Err(LogError::UnknownTopic { .. })
                    if self.config.allow_auto_create_topics && inner.config.auto_create_topics =>
                {
                    match inner.create_topic(NewTopic::new(*name)) {
                        Ok(_) | Err(LogError::TopicExists { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                found => drop(found?),
            }
        }
        self.want(Wanted::Names(topics.iter().map(|name| (*name).to_owned()).collect()))
    }

    /// Reads all topics whose whole name matches a regular expression, as [`Self::subscribe`]; topics that are created
    /// or deleted later come and go by themselves. The log's own topics are left out unless `exclude.internal.topics`
    /// is false. Fails with [`LogError::InvalidRegularExpression`].
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<()> {
        let anchored = format!("^(?:{pattern})$");
        let regex = Regex::new(&anchored).map_err(|error| LogError::InvalidRegularExpression {
            pattern: pattern.to_owned(),
            reason: error.to_string(),
        })?;
        self.want(Wanted::Pattern(regex))
    }

    /// The topics that it is subscribed to and that exist.
    pub fn subscription(&self) -> Vec<String> {
        self.subscribed_topics().into_iter().collect()
    }

    /// Reads nothing any more, and leaves its group.
    pub fn unsubscribe(&mut self) -> Result<()> {
        let committed = if self.membership.is_some() && self.commits_by_itself() {
            self.commit_by_itself(None)
        } else {
            Ok(())
        };
        let told = self.end_membership();
        self.unwatch_topics();
        self.subscribed = None;
        let all = self.assignment();
        self.remove(&all);
        committed.and(told)
    }

    /// Makes the group divide its partitions anew with the next poll. Does nothing outside of a group.
    pub fn enforce_rebalance(&mut self) {
        if let Some(membership) = &mut self.membership {
            membership.rebalance();
        }
    }

    fn want(&mut self, wanted: Wanted) -> Result<()> {
        if self.subscribed.is_none() {
            let all = self.assignment();
            self.remove(&all);
            self.log.inner().catalogue_watchers().add(&self.signal);
        }
        let (seen_version, seen_at) = self.look();
        self.subscribed = Some(Subscribed { wanted, seen_version, seen_at });
        match &self.config.group_id {
            Some(group) if self.membership.is_none() => {
                self.membership = Some(Membership::new(&self.config, group, &self.signal));
                self.log.inner().watch_group(group, &self.signal);
            }
            Some(_) => self.check_group_topics(),
            None => self.take_all()?,
        }
        Ok(())
    }

    fn look(&self) -> (u64, Duration) {
        let inner = self.log.inner();
        let version = inner.catalogue_version();
        inner.settle_catalogue();
        (version, self.log.clock().monotonic())
    }

    /// Looks up the topics if they have changed, or once in a while.
    pub(super) fn refresh_topics(&mut self) -> Result<()> {
        let Some(subscribed) = &self.subscribed else { return Ok(()) };
        let age = self.log.clock().monotonic().saturating_sub(subscribed.seen_at);
        if subscribed.seen_version == self.log.inner().catalogue_version()
            && age < self.config.metadata_max_age
        {
            return Ok(());
        }
        let seen = self.look();
        if let Some(subscribed) = &mut self.subscribed {
            (subscribed.seen_version, subscribed.seen_at) = seen;
        }
        if self.membership.is_some() {
            self.check_group_topics();
            Ok(())
        } else {
            self.take_all()
        }
    }

    /// Without a group: reads all partitions of the topics.
    fn take_all(&mut self) -> Result<()> {
        let before = self.assignment();
        let mut now = Vec::new();
        for topic in self.subscribed_topics() {
            let count = self.partition_count(&topic).unwrap_or(0);
            now.extend((0..count).map(|number| TopicPartition::new(topic.as_str(), number)));
        }
        let gone: Vec<_> = before.iter().filter(|id| !now.contains(id)).cloned().collect();
        let added: Vec<_> = now.into_iter().filter(|id| !before.contains(id)).collect();
        if !gone.is_empty() {
            self.remove(&gone);
        }
        if !added.is_empty() {
            self.add(&added)?;
        }
        Ok(())
    }

    pub(super) fn subscribed_topics(&self) -> BTreeSet<String> {
        match self.subscribed.as_ref().map(|subscribed| &subscribed.wanted) {
            None => BTreeSet::new(),
            Some(Wanted::Names(names)) => names.clone(),
            Some(Wanted::Pattern(pattern)) => {
                let names = self.log.inner().topic_names();
                let is_allowed =
                    |name: &str| !(self.config.exclude_internal_topics && catalogue::is_internal(name));
                let matching = names.iter().filter(|name| is_allowed(name) && pattern.is_match(name));
                matching.map(|name| name.to_string()).collect()
            }
        }
    }

    /// `None` for a topic that does not exist.
    pub(super) fn partition_count(&self, topic: &str) -> Option<u32> {
        Some(self.log.inner().topic(topic).ok()?.partition_count())
    }

    pub(super) fn unwatch_topics(&self) {
        self.log.inner().catalogue_watchers().remove(&self.signal);
    }
}
