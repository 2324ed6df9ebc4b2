//! The types of a server, as clients ask for them.

use std::ops::Deref;
use std::sync::Arc;

use opcua::nodes::{DefaultTypeTree, NamespaceMap, TypeProperty, TypeTree, TypeTreeNode};
use opcua::server::node_manager::{RequestContext, TypeTreeForUser, TypeTreeForUserStatic, TypeTreeReadContext};
use opcua::types::{NodeClass, NodeId, QualifiedName};

/// Shows the types of a server so that a type has what its supertypes have. `async-opcua` knows a field where it is
/// declared, and leaves out of an event what is asked for by a type that inherits it.
pub(crate) struct Inherited;

impl TypeTreeForUser for Inherited {
    fn get_type_tree_for_user<'a>(&'a self, context: &'a RequestContext) -> Box<dyn TypeTreeReadContext + 'a> {
        Box::new(Inheriting(context.type_tree().read()))
    }

    fn get_type_tree_static(&self, context: &RequestContext) -> Arc<dyn TypeTreeForUserStatic> {
        Arc::clone(&context.type_tree) as Arc<dyn TypeTreeForUserStatic>
    }
}

struct Inheriting<G>(G);

impl<G: Deref<Target = DefaultTypeTree>> TypeTreeReadContext for Inheriting<G> {
    fn get(&self) -> &dyn TypeTree {
        self
    }
}

impl<G: Deref<Target = DefaultTypeTree>> TypeTree for Inheriting<G> {
    fn is_subtype_of(&self, child: &NodeId, ancestor: &NodeId) -> bool {
        self.0.is_subtype_of(child, ancestor)
    }

    fn get_node<'a>(&'a self, node: &NodeId) -> Option<TypeTreeNode<'a>> {
        self.0.get_node(node)
    }

    fn get(&self, node: &NodeId) -> Option<NodeClass> {
        self.0.get(node)
    }

    fn find_type_prop_by_browse_path(&self, of: &NodeId, path: &[QualifiedName]) -> Option<&TypeProperty> {
        let mut of = of;
        loop {
            if let Some(found) = self.0.find_type_prop_by_browse_path(of, path) {
                return Some(found);
            }
            of = self.0.get_supertype(of)?;
        }
    }

    fn get_supertype<'a>(&'a self, node: &NodeId) -> Option<&'a NodeId> {
        self.0.get_supertype(node)
    }

    fn namespaces(&self) -> &NamespaceMap {
        self.0.namespaces()
    }
}
