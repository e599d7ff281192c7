//! Committed state in RocksDB: one database per application, a column family per store.
//!
//! The write-ahead log is off: the changelog topics are the log, and the offsets stored in the same write
//! batch say from where to replay them. Atomic flush keeps the families of one write batch together on disk.

use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBWithThreadMode, IteratorMode,
    MultiThreaded, Options, ReadOptions, WriteBufferManager,
};

use crate::error::{StreamsError, full_message};
use crate::store::backend::{Change, Direction, Family, Found, Scan, StateBackend, WriteBatch};

/// Memory for blocks and for write buffers, each, shared by all applications of the process.
const SHARED_BYTES: usize = 16 << 20;
const BLOOM_BITS_PER_KEY: f64 = 10.0;
/// Of one family; a process has many, so each begins small.
const WRITE_BUFFER_BYTES: usize = 8 << 20;
const ARENA_BLOCK_BYTES: usize = 64 << 10;

type Database = DBWithThreadMode<MultiThreaded>;

/// A [`StateBackend`] over one RocksDB database.
pub struct RocksBackend {
    database: Database,
    path: PathBuf,
    families: RwLock<Vec<String>>,
}

impl RocksBackend {
    /// Opens the database in `dir`, made if it is not there. Fails while another process has it open.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StreamsError> {
        let path = dir.as_ref().to_path_buf();
        let failed = |action| {
            let path = path.clone();
            move |source: Box<dyn std::error::Error + Send + Sync>| StreamsError::StateDirectory {
                action,
                path,
                source,
            }
        };
        std::fs::create_dir_all(&path).map_err(|error| failed("create")(error.into()))?;
        let options = database_options();
        // A directory without CURRENT has no database yet, so there are no families to list.
        let names = if path.join("CURRENT").exists() {
            Database::list_cf(&options, &path).map_err(|error| failed("read")(error.into()))?
        } else {
            vec![rocksdb::DEFAULT_COLUMN_FAMILY_NAME.to_owned()]
        };
        let descriptors = names.iter().map(|name| ColumnFamilyDescriptor::new(name, family_options()));
        let database = Database::open_cf_descriptors(&options, &path, descriptors)
            .map_err(|error| failed("open")(error.into()))?;
        Ok(Self { database, path, families: RwLock::new(names) })
    }

    /// As [`open`](Self::open), but a database that is damaged or misses files is moved aside, to `<dir>.damaged`, and
    /// an empty one takes its place.
    pub(crate) fn open_or_replace(dir: impl AsRef<Path>) -> Result<Self, StreamsError> {
        let dir = dir.as_ref();
        let error = match Self::open(dir) {
            Err(error) if is_damage(&error) => error,
            outcome => return outcome,
        };
        let aside = dir.with_extension("damaged");
        tracing::warn!(
            error = full_message(&error),
            aside = %aside.display(),
            "moved damaged state aside; it is built anew from the changelogs"
        );
        let moved = match std::fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::rename(dir, &aside),
        };
        moved.map_err(|error| StreamsError::StateDirectory {
            action: "move aside",
            path: dir.to_path_buf(),
            source: error.into(),
        })?;
        Self::open(dir)
    }

    fn column(&self, family: Family) -> Result<std::sync::Arc<BoundColumnFamily<'_>>, StreamsError> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        let name = &families[family.0];
        self.database.cf_handle(name).ok_or_else(|| StreamsError::State {
            action: "find a column family of",
            source: format!("{name} is not in {}", self.path.display()).into(),
        })
    }
}

impl StateBackend for RocksBackend {
    fn family(&self, name: &str) -> Result<Family, StreamsError> {
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = families.iter().position(|known| known == name) {
            return Ok(Family(index));
        }
        self.database.create_cf(name, &family_options()).map_err(|error| state("add a store to", error))?;
        families.push(name.to_owned());
        Ok(Family(families.len() - 1))
    }

    fn apply(&self, batch: &WriteBatch) -> Result<(), StreamsError> {
        let mut write = rocksdb::WriteBatch::default();
        let mut column: Option<(Family, std::sync::Arc<BoundColumnFamily<'_>>)> = None;
        for (family, change) in batch.changes() {
            let handle = match &column {
                Some((known, handle)) if *known == family => handle,
                _ => &column.insert((family, self.column(family)?)).1,
            };
            match change {
                Change::Put(key, value) => write.put_cf(handle, key, value),
                Change::Delete(key) => write.delete_cf(handle, key),
                Change::DeleteRange(from, to) => write.delete_range_cf(handle, from, to),
            }
        }
        self.database.write_without_wal(write).map_err(|error| state("write", error))
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StreamsError> {
        self.database.get_cf(&self.column(family)?, key).map_err(|error| state("read", error))
    }

    fn get_many(&self, family: Family, keys: &[&[u8]], found: &mut Found<'_>) -> Result<(), StreamsError> {
        let column = self.column(family)?;
        let values = self.database.batched_multi_get_cf(&column, keys.iter().copied(), false);
        for (index, value) in values.into_iter().enumerate() {
            if let Some(value) = value.map_err(|error| state("read", error))? {
                found(index, &value)?;
            }
        }
        Ok(())
    }

    fn scan<'a>(
        &'a self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Scan<'a>, StreamsError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        let mode = match direction {
            Direction::Forward => IteratorMode::Start,
            Direction::Reverse => IteratorMode::End,
        };
        let entries = self.database.iterator_cf_opt(&self.column(family)?, options, mode);
        Ok(Box::new(entries.map(|entry| entry.map_err(|error| state("read", error)))))
    }

    fn estimate_rows(&self, family: Family, from: &[u8], to: &[u8]) -> Result<u64, StreamsError> {
        let column = self.column(family)?;
        let rows = self.database.property_int_value_cf(&column, rocksdb::properties::ESTIMATE_NUM_KEYS);
        let rows = rows.map_err(|error| state("read", error))?.unwrap_or(0);
        // The estimate is for all partitions. Files know how many bytes lie in a range; what is not in files
        // yet counts as spread evenly.
        let all = [rocksdb::Range::new(&[], &[u8::MAX; 8]), rocksdb::Range::new(from, to)];
        Ok(match self.database.get_approximate_sizes_cf(&column, &all).as_slice() {
            [bytes, part] if *bytes > 0 => {
                let rows = u128::from(rows) * u128::from(*part.min(bytes)) / u128::from(*bytes);
                u64::try_from(rows).unwrap_or(u64::MAX)
            }
            _ => rows,
        })
    }
}

impl Drop for RocksBackend {
    fn drop(&mut self) {
        // Memory tables are lost without a write-ahead log. That costs a replay of the changelogs' tails, no
        // data.
        if let Err(error) = self.database.flush() {
            tracing::warn!(%error, path = %self.path.display(), "state was not flushed; the next start replays more");
        }
    }
}

/// Whether it is the database's content that keeps it from being opened, and not a lock, a permission or a full disk.
fn is_damage(error: &StreamsError) -> bool {
    let StreamsError::StateDirectory { source, .. } = error else { return false };
    source.downcast_ref::<rocksdb::Error>().is_some_and(|error| match error.kind() {
        rocksdb::ErrorKind::Corruption => true,
        rocksdb::ErrorKind::IOError => error.as_ref().contains("No such file or directory"),
        _ => false,
    })
}

fn state(action: &'static str, error: rocksdb::Error) -> StreamsError {
    StreamsError::State { action, source: error.into() }
}

struct Shared {
    cache: Cache,
    buffers: WriteBufferManager,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| Shared {
        cache: Cache::new_lru_cache(SHARED_BYTES),
        buffers: WriteBufferManager::new_write_buffer_manager(SHARED_BYTES, false),
    })
}

fn database_options() -> Options {
    let mut options = family_options();
    options.create_if_missing(true);
    options.set_atomic_flush(true);
    options.set_write_buffer_manager(&shared().buffers);
    options.set_keep_log_file_num(2);
    options.set_max_background_jobs(2);
    options
}

fn family_options() -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&shared().cache);
    blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_arena_block_size(ARENA_BLOCK_BYTES);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options
}
