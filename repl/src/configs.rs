//! `millstream configs`: the settings of topics.

use millstream_log::{ConfigChange, ConfigEntry, ConfigSource, Log};

use crate::args::{ConfigsCommand, Global};
use crate::cell::Cell;
use crate::error::CliError;
use crate::output::{Format, Grid, Heading, Out};
use crate::properties_file;

/// Runs one of the commands.
pub(crate) fn run(global: &Global, command: &ConfigsCommand) -> Result<(), CliError> {
    let log = Log::open(global.log_dir())?;
    let result = act(&log, command, &mut Out::new(global.output));
    log.close()?;
    result
}

fn act(log: &Log, command: &ConfigsCommand, out: &mut Out) -> Result<(), CliError> {
    match command {
        ConfigsCommand::Describe { topic, all } => {
            let mut entries = log.describe_topic_config(topic.get())?;
            entries.retain(|entry| *all || entry.source == ConfigSource::DynamicTopic);
            describe(topic.get(), *all, &entries, out)
        }
        ConfigsCommand::Alter { topic, add_config, add_config_file, delete_config } => {
            let mut settings = Vec::new();
            for list in add_config {
                settings.extend(pairs(list)?);
            }
            if let Some(path) = add_config_file {
                settings.extend(properties_file::read(path)?);
            }
            let deletions = delete_config.iter().map(|key| ConfigChange::delete(key.trim()));
            let changes: Vec<_> = settings
                .into_iter()
                .map(|(key, value)| ConfigChange::set(key, value))
                .chain(deletions)
                .collect();
            if changes.is_empty() {
                return Err(CliError::Usage(
                    "nothing to change: give --add-config, --add-config-file or --delete-config".to_owned(),
                ));
            }
            log.alter_topic_config(topic.get(), &changes)?;
            out.line(&format!("Completed updating config for topic {}.", topic.get()))?;
            out.flush()
        }
    }
}

fn describe(topic: &str, all: bool, entries: &[ConfigEntry], out: &mut Out) -> Result<(), CliError> {
    let mut grid = Grid::new(["name", "value", "source", "sensitive", "synonyms"].map(Heading::text).into());
    if out.format() == Format::Table {
        let which = if all { "All" } else { "Dynamic" };
        out.line(&format!("{which} configs for topic {topic} are:"))?;
    }
    for entry in entries {
        let synonyms: Vec<String> = entry
            .synonyms
            .iter()
            .map(|synonym| format!("{}:{}={}", synonym.source.name(), synonym.name, synonym.value))
            .collect();
        let synonyms = synonyms.join(", ");
        if out.format() == Format::Table {
            out.line(&format!(
                "  {}={} sensitive={} synonyms={{{synonyms}}}",
                entry.name, entry.value, entry.is_sensitive
            ))?;
        }
        grid.push(vec![
            entry.name.into(),
            entry.value.as_str().into(),
            entry.source.name().into(),
            Cell::Boolean(entry.is_sensitive),
            synonyms.as_str().into(),
        ]);
    }
    if out.format() == Format::Table { out.flush() } else { out.grid(&grid) }
}

/// `k=v,k2=[a,b]`: brackets keep the commas of a value.
fn pairs(list: &str) -> Result<Vec<(String, String)>, CliError> {
    let wrong = || CliError::Usage(format!("--add-config takes k=v,k2=[a,b], not `{list}`"));
    let mut pairs = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(wrong)?;
        let (value, after) = match after.strip_prefix('[') {
            Some(bracketed) => {
                let (value, after) = bracketed.split_once(']').ok_or_else(wrong)?;
                let after = after.trim_start();
                (value, after.strip_prefix(',').or(after.is_empty().then_some("")).ok_or_else(wrong)?)
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim().is_empty() {
            return Err(wrong());
        }
        pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        rest = after.trim_start();
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_keep_commas() {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let expected = owned(&[("a", "1"), ("cleanup.policy", "compact,delete"), ("b", "x=y")]);
        assert_eq!(pairs("a=1,cleanup.policy=[compact,delete],b=x=y").unwrap(), expected);
        assert_eq!(pairs("a=").unwrap(), owned(&[("a", "")]));
        for wrong in ["a", "=1", "a=[b", "a=[b]c=1"] {
            assert!(pairs(wrong).is_err(), "{wrong}");
        }
    }
}
