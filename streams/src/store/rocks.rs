//! Committed state in RocksDB: one database per application, a column family per store.
//!
//! The write-ahead log is off: the changelog topics are the log, and the offsets stored in the same write
//! batch say from where to replay them. Atomic flush keeps the families of one write batch together on disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor,
    DBWithThreadMode, IteratorMode, LruCacheOptions, MultiThreaded, Options, ReadOptions, WriteBufferManager,
};

use crate::error::{StreamsError, full_message};
use crate::store::backend::{Change, Direction, Family, Found, Scan, StateBackend, WriteBatch};

/// What all databases of the process share unless an application asks for more, as `rocksdb.memory.bytes`.
pub const DEFAULT_MEMORY_BYTES: usize = 64 << 20;
/// Files that one database holds open.
const OPEN_FILES_MAX: i32 = 512;
const BLOOM_BITS_PER_KEY: f64 = 10.0;
/// Of a part of an index or a filter.
const METADATA_BLOCK_BYTES: usize = 4 << 10;
/// The memory is divided into 2 to the power of this, each with a lock of its own and none for larger things than itself.
const CACHE_SHARD_BITS: i32 = 3;
/// Of one family; a process has many, so each begins small.
const WRITE_BUFFER_BYTES: usize = 8 << 20;
const ARENA_BLOCK_BYTES: usize = 64 << 10;
/// What a change takes in a batch beside its key and value, at most: kind, family and two lengths.
const CHANGE_BYTES: usize = 1 + 3 * 5;
/// What a batch takes beside its changes: a sequence number and the number of changes.
const BATCH_BYTES: usize = 8 + 4;

type Database = DBWithThreadMode<MultiThreaded>;

/// A [`StateBackend`] over one RocksDB database.
pub struct RocksBackend {
    database: Database,
    path: PathBuf,
    memory: Arc<RocksMemory>,
    families: RwLock<Vec<String>>,
}

impl RocksBackend {
    /// Opens the database in `dir`, made if it is not there. Fails while another process has it open.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StreamsError> {
        Self::open_within(dir, &RocksMemory::of_process(DEFAULT_MEMORY_BYTES))
    }

    /// As [`open`](Self::open), with this memory in place of the process's.
    pub fn open_within(dir: impl AsRef<Path>, memory: &Arc<RocksMemory>) -> Result<Self, StreamsError> {
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
        let options = memory.database_options();
        // A directory without CURRENT has no database yet, so there are no families to list.
        let names = if path.join("CURRENT").exists() {
            Database::list_cf(&options, &path).map_err(|error| failed("read")(error.into()))?
        } else {
            vec![rocksdb::DEFAULT_COLUMN_FAMILY_NAME.to_owned()]
        };
        let descriptors = names.iter().map(|name| ColumnFamilyDescriptor::new(name, memory.family_options()));
        let database = Database::open_cf_descriptors(&options, &path, descriptors)
            .map_err(|error| failed("open")(error.into()))?;
        Ok(Self { database, path, memory: Arc::clone(memory), families: RwLock::new(names) })
    }

    /// As [`open`](Self::open), but a database that is damaged or misses files is moved aside, to `<dir>.damaged`, and
    /// an empty one takes its place.
    pub(crate) fn open_or_replace(
        dir: impl AsRef<Path>,
        memory: &Arc<RocksMemory>,
    ) -> Result<Self, StreamsError> {
        let dir = dir.as_ref();
        let error = match Self::open_within(dir, memory) {
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
        Self::open_within(dir, memory)
    }

    /// The memory in use.
    pub fn memory(&self) -> Result<RocksUsage, StreamsError> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        let mut usage = RocksUsage { shared: self.memory.usage(), of_buffers: 0, of_tables: 0 };
        for name in families.iter() {
            let Some(column) = self.database.cf_handle(name) else { continue };
            let read = |property: &rocksdb::properties::PropName| {
                let bytes = self.database.property_int_value_cf(&column, property);
                bytes.map(Option::unwrap_or_default).map_err(|error| state("read", error))
            };
            usage.of_buffers += read(rocksdb::properties::CUR_SIZE_ALL_MEM_TABLES)?;
            usage.of_tables += read(rocksdb::properties::ESTIMATE_TABLE_READERS_MEM)?;
        }
        Ok(usage)
    }

    fn column(&self, family: Family) -> Result<Arc<BoundColumnFamily<'_>>, StreamsError> {
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
        self.database
            .create_cf(name, &self.memory.family_options())
            .map_err(|error| state("add a store to", error))?;
        families.push(name.to_owned());
        Ok(Family(families.len() - 1))
    }

    fn apply(&self, batch: &WriteBatch) -> Result<(), StreamsError> {
        let bytes = batch.len_bytes() + batch.len() * CHANGE_BYTES + BATCH_BYTES;
        let mut write = rocksdb::WriteBatch::with_capacity_bytes(bytes);
        let mut column: Option<(Family, Arc<BoundColumnFamily<'_>>)> = None;
        for (family, change) in batch.sorted() {
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

/// Memory in use by RocksDB, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksUsage {
    /// Of all databases that share a [`RocksMemory`]: blocks, indexes, filters and write buffers.
    pub shared: usize,
    /// The write buffers of this database; they are part of `shared`.
    pub of_buffers: u64,
    /// What this database holds for its open files beside that.
    pub of_tables: u64,
}

/// The memory of several databases: blocks with their indexes and filters, and write buffers, all charged to one
/// cache.
///
/// Write buffers may take half of it; the database that is written to flushes when they come near that.
pub struct RocksMemory {
    cache: Cache,
    buffers: WriteBufferManager,
    bytes: AtomicUsize,
}

impl RocksMemory {
    /// Of this many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        let mut options = LruCacheOptions::default();
        options.set_capacity(bytes);
        options.set_num_shard_bits(CACHE_SHARD_BITS);
        let cache = Cache::new_lru_cache_opts(&options);
        // Writers do not stall at the limit: what idle databases hold would stop all others for good.
        let buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(bytes / 2, false, cache.clone());
        Arc::new(Self { cache, buffers, bytes: AtomicUsize::new(bytes) })
    }

    /// The one that the applications of a process share. It has the most that any of them asked for.
    pub fn of_process(bytes: usize) -> Arc<Self> {
        static MEMORY: OnceLock<Arc<RocksMemory>> = OnceLock::new();
        let memory = MEMORY.get_or_init(|| Self::new(bytes));
        if memory.bytes.fetch_max(bytes, Ordering::Relaxed) < bytes {
            memory.cache.clone().set_capacity(bytes);
            memory.buffers.set_buffer_size(bytes / 2);
        }
        Arc::clone(memory)
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many of them are in use.
    pub fn usage(&self) -> usize {
        self.cache.get_usage()
    }

    fn database_options(&self) -> Options {
        let mut options = self.family_options();
        options.create_if_missing(true);
        options.set_atomic_flush(true);
        options.set_write_buffer_manager(&self.buffers);
        options.set_keep_log_file_num(2);
        options.set_max_background_jobs(2);
        options.set_max_open_files(OPEN_FILES_MAX);
        options
    }

    fn family_options(&self) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        // Else they would be beside the cache, and grow with the files.
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
        // Those of a file are megabytes: whole, they would push each other out of the cache with every read.
        blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        blocks.set_partition_filters(true);
        blocks.set_metadata_block_size(METADATA_BLOCK_BYTES);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_size(WRITE_BUFFER_BYTES.min(self.bytes() / 4));
        options.set_arena_block_size(ARENA_BLOCK_BYTES);
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_databases_keep_one_budget() {
        const BYTES: usize = 8 << 20;
        let memory = RocksMemory::new(BYTES);
        let dir = tempfile::tempdir().unwrap();
        let backends: Vec<RocksBackend> = (0..4)
            .map(|number| RocksBackend::open_within(dir.path().join(number.to_string()), &memory).unwrap())
            .collect();
        let families = ["a", "b", "c"]
            .map(|name| backends.iter().map(|it| it.family(name).unwrap()).collect::<Vec<_>>());
        let key = |row: u32| row.wrapping_mul(2_654_435_761).to_be_bytes();
        let value: Vec<u8> = (0..1000u32).map(|number| (number * number / 7) as u8).collect();
        let mut most = 0;
        for round in 0..40u32 {
            for (number, backend) in backends.iter().enumerate() {
                let mut batch = WriteBatch::default();
                for row in round * 500..(round + 1) * 500 {
                    let family = families[row as usize % 3][number];
                    batch.put(family, &[&key(row)], &[&value, &key(row)]);
                }
                backend.apply(&batch).unwrap();
                // Reads fill the cache.
                for row in (0..round * 500).step_by(7) {
                    assert!(backend.get(families[row as usize % 3][number], &key(row)).unwrap().is_some());
                }
            }
            most = most.max(memory.usage());
        }
        let usages: Vec<RocksUsage> = backends.iter().map(|backend| backend.memory().unwrap()).collect();
        let buffers: u64 = usages.iter().map(|usage| usage.of_buffers).sum();
        let tables: u64 = usages.iter().map(|usage| usage.of_tables).sum();
        // 80 MB were written. Buffers that are on their way to disk count until they are there.
        assert!(most <= BYTES * 5 / 4, "{most} bytes in use of {BYTES}");
        assert!(most > BYTES / 2, "only {most} bytes were ever in use: is it the cache that is measured?");
        assert!(buffers <= (BYTES * 3 / 4) as u64, "{buffers} bytes of write buffers");
        assert!(tables < 1 << 20, "{tables} bytes beside the cache");
        let shared: Vec<usize> = usages.iter().map(|usage| usage.shared).collect();
        assert!(shared.iter().all(|shared| *shared <= BYTES * 5 / 4), "{shared:?}");
    }

    #[test]
    fn the_processs_memory_grows_to_the_most_that_is_asked_for() {
        let memory = RocksMemory::of_process(DEFAULT_MEMORY_BYTES);
        assert_eq!(memory.bytes(), DEFAULT_MEMORY_BYTES);
        assert_eq!(RocksMemory::of_process(1).bytes(), DEFAULT_MEMORY_BYTES);
        assert!(Arc::ptr_eq(&memory, &RocksMemory::of_process(DEFAULT_MEMORY_BYTES + 1)));
        assert_eq!(memory.bytes(), DEFAULT_MEMORY_BYTES + 1);
    }
}
