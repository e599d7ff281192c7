//! Passing over values that nobody asked for.

use crate::avro::{
    fault::Fault,
    input::{Block, Input},
    schema::{AvroSchema, Kind, NodeId},
};

/// How to pass over the values of every type of a schema.
pub(crate) struct Skips(Vec<Skip>);

enum Skip {
    Nothing,
    Fixed(usize),
    Number,
    Bytes,
    Blocks { keyed: bool, item: NodeId },
    Union(Box<[NodeId]>),
    Record(Box<[NodeId]>),
}

/// Levels of values within values, where a type may hold itself.
pub(crate) const DEPTH_MAX: usize = 128;

impl Skips {
    pub(crate) fn new(schema: &AvroSchema) -> Self {
        let skip = |kind: &Kind| match kind {
            Kind::Null => Skip::Nothing,
            Kind::Boolean => Skip::Fixed(1),
            Kind::Float => Skip::Fixed(4),
            Kind::Double => Skip::Fixed(8),
            Kind::Fixed(size) => Skip::Fixed(*size),
            Kind::Int | Kind::Long | Kind::Enum(_) => Skip::Number,
            Kind::Bytes | Kind::String => Skip::Bytes,
            Kind::Array(item) => Skip::Blocks { keyed: false, item: *item },
            Kind::Map(item) => Skip::Blocks { keyed: true, item: *item },
            Kind::Union(branches) => Skip::Union(branches.as_slice().into()),
            Kind::Record(fields) => Skip::Record(fields.iter().map(|field| field.node).collect()),
        };
        Self(schema.nodes().iter().map(|node| skip(&node.kind)).collect())
    }

    /// Passes over one value.
    #[inline]
    pub(crate) fn run(&self, node: NodeId, input: &mut Input<'_>) -> Result<(), Fault> {
        self.skip(node, input, DEPTH_MAX)
    }

    /// Whether the next is a value of so many levels.
    pub(crate) fn is_within(&self, depth_max: usize, node: NodeId, mut input: Input<'_>) -> bool {
        self.skip(node, &mut input, depth_max).is_ok()
    }

    fn skip(&self, node: NodeId, input: &mut Input<'_>, depth: usize) -> Result<(), Fault> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Fault::new(format!("values are nested deeper than {DEPTH_MAX} levels")));
        };
        match &self.0[node.index()] {
            Skip::Nothing => {}
            Skip::Fixed(size) => drop(input.take(*size)?),
            Skip::Number => drop(input.long()?),
            Skip::Bytes => drop(input.bytes()?),
            Skip::Union(branches) => {
                let index = input.index()?;
                let branch = branches.get(index).ok_or_else(|| no_branch(index))?;
                self.skip(*branch, input, depth)?;
            }
            Skip::Record(fields) => {
                for field in fields {
                    self.skip(*field, input, depth)?;
                }
            }
            Skip::Blocks { keyed, item } => {
                while let Some(block) = input.block_to_skip()? {
                    match block {
                        Block::Bytes(size) => drop(input.take(size)?),
                        Block::Items(count) => {
                            for _ in 0..count {
                                if *keyed {
                                    input.bytes()?;
                                }
                                self.skip(*item, input, depth)?;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

#[cold]
pub(crate) fn no_branch(index: usize) -> Fault {
    Fault::new(format!("the union or enum has no branch {index}"))
}
