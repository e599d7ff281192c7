//! Queries on a running application, or on the test driver's.

use std::collections::BTreeMap;

use millstream_log::{Offset, PartitionId, TopicPartition};

use crate::driver::TopologyTestDriver;
use crate::error::StreamsError;
use crate::processor::TaskId;
use crate::runtime::app::Streams;
use crate::store::{KeyMetadata, StateQuery, StateQueryRequest, StateQueryResult, StoreHandle, StoreView};
use crate::topology::{NodeRole, Topology};

impl Streams {
    /// Asks the partitions of a store that this process has, on what is committed. Fails if there is no such store.
    pub fn query<Q: StateQuery>(
        &self,
        request: &StateQueryRequest<Q>,
    ) -> Result<StateQueryResult<Q::Result>, StreamsError> {
        // The positions are read first: what is read of the state then has come as far at least.
        let positions = self.positions()?.into_iter().map(|(partition, next, _)| (partition, next)).collect();
        let asked =
            Asked { topology: self.topology(), application: &self.config().application_id, positions };
        Ok(asked.answer(request, &self.store(&request.store)?))
    }

    /// The partition of a store that has a key, if it is any of this application's, and which instances have that. As
    /// Kafka's `queryMetadataForKey`. A global store is everywhere.
    pub fn key_metadata<K: 'static>(&self, store: &str, key: &K) -> Result<KeyMetadata, StreamsError> {
        let view = self.store(store)?;
        let is_named = |host: &String| !host.is_empty();
        let Some(sub_topology) = sub_topology_of(self.topology(), store) else {
            let of = u32::try_from(view.partitions().len()).unwrap_or(u32::MAX);
            let host = Some(self.config().application_server.clone()).filter(is_named);
            let partition = view.partition_of(key, of)?;
            return Ok(KeyMetadata { partition, is_here: true, host, standby_hosts: Vec::new() });
        };
        let of = self.tasks().into_iter().filter(|task| task.sub_topology == sub_topology).count();
        let partition = view.partition_of(key, u32::try_from(of).unwrap_or(u32::MAX))?;
        let task = TaskId { sub_topology, partition: PartitionId::new(partition) };
        let clients = self.clients();
        let host = clients.iter().find(|client| client.active.contains(&task));
        let standbys = clients.iter().filter(|client| client.standby.contains(&task));
        Ok(KeyMetadata {
            partition,
            is_here: view.partitions().contains(&partition),
            host: host.map(|client| client.host.clone()).filter(is_named),
            standby_hosts: standbys.map(|client| client.host.clone()).filter(is_named).collect(),
        })
    }
}

impl TopologyTestDriver {
    /// Asks the partitions of a store, on what is committed.
    pub fn query<Q: StateQuery>(
        &self,
        request: &StateQueryRequest<Q>,
    ) -> Result<StateQueryResult<Q::Result>, StreamsError> {
        let (topology, application, positions) = self.asked();
        Ok(Asked { topology, application, positions }.answer(request, &self.store(&request.store)?))
    }
}

/// What a query must know of an application beside the state.
struct Asked<'a> {
    topology: &'a Topology,
    application: &'a str,
    /// Of every input partition, the offset of the next record that is not in the state.
    positions: BTreeMap<TopicPartition, Offset>,
}

impl Asked<'_> {
    fn answer<Q: StateQuery>(
        &self,
        request: &StateQueryRequest<Q>,
        view: &StoreView,
    ) -> StateQueryResult<Q::Result> {
        request
            .run(view, self.partitions(&request.store), |partition| self.position(&request.store, partition))
    }

    /// How many partitions a store has.
    fn partitions(&self, store: &str) -> u32 {
        let inputs = self.inputs(store);
        let of_inputs = self.positions.keys().filter(|partition| inputs.contains(&partition.topic));
        of_inputs.map(|partition| partition.partition.get() + 1).max().unwrap_or(0)
    }

    /// The offsets of the last records in the state of a task, by its inputs.
    fn position(&self, store: &str, partition: u32) -> BTreeMap<TopicPartition, Option<Offset>> {
        let inputs = self.inputs(store);
        let mine = self
            .positions
            .iter()
            .filter(|(input, _)| input.partition.get() == partition && inputs.contains(&input.topic));
        mine.map(|(input, next)| (input.clone(), next.get().checked_sub(1).map(Offset::new))).collect()
    }

    /// The topics that the tasks of a store read.
    fn inputs(&self, store: &str) -> Vec<std::sync::Arc<str>> {
        let owner = sub_topology_of(self.topology, store);
        let nodes = owner.into_iter().flat_map(|owner| &self.topology.sub_topologies[owner as usize].nodes);
        let topics = nodes.flat_map(|node| match &self.topology.nodes[*node].role {
            NodeRole::Source { topics, .. } => topics.names.as_slice(),
            _ => &[],
        });
        topics.map(|topic| topic.resolve(self.application)).collect()
    }
}

/// The number of the sub-topology that has a store. None for a global store.
fn sub_topology_of(topology: &Topology, store: &str) -> Option<u32> {
    let has = |handle: &StoreHandle| topology.stores[handle.0].name() == store;
    let owner = topology.sub_topologies.iter().position(|it| it.stores.iter().any(has))?;
    u32::try_from(owner).ok()
}
