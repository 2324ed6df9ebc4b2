//! From names to nodes.

use opcua::client::Session;
use opcua::types::{
    BrowsePath, DataValue, NamespaceMap, NodeId, ReadValueId, StatusCode, TimestampsToReturn, VariableId, Variant,
};

use crate::name::{ItemName, Target};

/// Paths that one request asks for. Servers that allow less say so, and say it of each.
const PATHS_AT_ONCE: usize = 200;

/// The node of each name, or why there is none. The outer error is the request's.
pub(crate) async fn nodes(
    session: &Session,
    names: &[ItemName],
) -> Result<Vec<Result<NodeId, StatusCode>>, StatusCode> {
    let by_uri = names.iter().any(|name| name.target(|_| None).is_none());
    let namespaces = if by_uri { Some(namespaces(session).await?) } else { None };
    let index = |uri: &str| namespaces.as_ref().and_then(|namespaces| namespaces.get_index(uri));
    let mut nodes: Vec<Result<NodeId, StatusCode>> = Vec::with_capacity(names.len());
    let mut paths: Vec<(usize, BrowsePath)> = Vec::new();
    for (position, name) in names.iter().enumerate() {
        nodes.push(match name.target(index) {
            Some(Target::Node(node)) => Ok(node),
            Some(Target::Path(path)) => {
                paths.push((position, path));
                Err(StatusCode::BadNoMatch)
            }
            None => Err(StatusCode::BadNodeIdUnknown),
        });
    }
    for chunk in paths.chunks(PATHS_AT_ONCE) {
        let asked: Vec<_> = chunk.iter().map(|(_, path)| path.clone()).collect();
        let found = session.translate_browse_paths_to_node_ids(&asked).await.map_err(|error| error.status())?;
        for ((position, _), result) in chunk.iter().zip(found) {
            let whole = result.targets.iter().flatten().find(|target| target.remaining_path_index == u32::MAX);
            nodes[*position] = match whole {
                Some(target) if result.status_code.is_good() => Ok(target.target_id.node_id.clone()),
                _ if result.status_code.is_bad() => Err(result.status_code),
                _ => Err(StatusCode::BadNoMatch),
            };
        }
    }
    Ok(nodes)
}

/// The node of one name.
pub(crate) async fn node(session: &Session, name: &ItemName) -> Result<NodeId, StatusCode> {
    let nodes = nodes(session, std::slice::from_ref(name)).await?;
    nodes.into_iter().next().unwrap_or(Err(StatusCode::BadUnexpectedError))
}

async fn namespaces(session: &Session) -> Result<NamespaceMap, StatusCode> {
    let node = VariableId::Server_NamespaceArray.into();
    let asked = [ReadValueId::new_value(node)];
    let read = session.read(&asked, TimestampsToReturn::Neither, 0.0).await.map_err(|error| error.status())?;
    match read.into_iter().next() {
        Some(DataValue { value: Some(Variant::Array(array)), .. }) => {
            NamespaceMap::new_from_variant_array(&array.values).map_err(|_| StatusCode::BadUnexpectedError)
        }
        _ => Err(StatusCode::BadUnexpectedError),
    }
}
