//! Being told when partitions come and go.

use crate::client::Consumer;
use crate::error::Result;
use crate::types::TopicPartition;

/// Is told when a consumer's partitions change, on the consumer's thread, inside
/// [`poll`](Consumer::poll), [`close`](Consumer::close) or [`unsubscribe`](Consumer::unsubscribe). An error ends that
/// call; the change takes place all the same. As Kafka's `ConsumerRebalanceListener`.
pub trait RebalanceListener: Send {
    /// Before the consumer gives these partitions up, while it may still commit their offsets: all of them, or with
    /// `cooperative-sticky` those that move to others.
    fn on_revoked(&mut self, consumer: &mut dyn Consumer, partitions: &[TopicPartition]) -> Result<()> {
        let _ = (consumer, partitions);
        Ok(())
    }

    /// After the consumer got these partitions, before it reads from them: all of them, or with `cooperative-sticky`
    /// those that are new, which may be none.
    fn on_assigned(&mut self, consumer: &mut dyn Consumer, partitions: &[TopicPartition]) -> Result<()> {
        let _ = (consumer, partitions);
        Ok(())
    }

    /// After the group has given these partitions to others because it took the consumer for dead. It may not commit
    /// their offsets any more. Does what [`Self::on_revoked`] does unless told otherwise.
    fn on_lost(&mut self, consumer: &mut dyn Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self.on_revoked(consumer, partitions)
    }
}
