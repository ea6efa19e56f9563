//! `IPADDRESS` values: 16 bytes, so that they compare as addresses do.
//!
//! An IPv4 address is its mapped IPv6 one. Text that is no address (a service's
//! name, `AWS Internal`) is NULL.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, StringArray,
};
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_datafusion_err, plan_err};

use super::binary::binary;
use super::{Function, Memo, strings, text, texts};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("ip_address", texts::<1>, binary, |columns| {
            let mut addresses = BinaryBuilder::new();
            for text in strings(columns, 0)? {
                let address = text.and_then(|text| text.parse::<IpAddr>().ok());
                addresses.append_option(address.map(|address| bits(address).to_be_bytes()));
            }
            Ok(Arc::new(addresses.finish()))
        }),
        // What a cast of one to VARCHAR becomes.
        Function::new(
            "ip_text",
            |_| Ok(vec![DataType::Binary]),
            text,
            |columns| match columns {
                [addresses] => Ok(written(addresses.as_binary())),
                _ => plan_err!("takes an address"),
            },
        ),
    ]
}

/// Addresses as people write them.
fn written(addresses: &BinaryArray) -> ArrayRef {
    let text = |bytes: &[u8]| {
        let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
        Some(address.to_canonical().to_string())
    };
    Arc::new(addresses.iter().map(|bytes| text(bytes?)).collect::<StringArray>())
}

fn bits(address: IpAddr) -> u128 {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    Ipv6Addr::to_bits(address)
}

/// Whether addresses are in networks such as `10.0.0.0/8`.
pub(super) fn in_network(networks: &StringArray, addresses: &BinaryArray) -> Result<ArrayRef> {
    let mut memo = Memo::new(network);
    let mut found = BooleanArray::builder(addresses.len());
    for (network, address) in networks.iter().zip(addresses) {
        let address = address.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        found.append_option(match (network, address) {
            (Some(network), Some(address)) => {
                let (base, mask) = memo.get(network)?;
                Some(u128::from_be_bytes(address) & mask == *base)
            }
            _ => None,
        });
    }
    Ok(Arc::new(found.finish()))
}

/// A network's first address and mask.
fn network(text: &str) -> Result<(u128, u128)> {
    let parsed = text.split_once('/').and_then(|(address, length)| {
        let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?);
        let host = u32::from(if address.is_ipv4() { 32_u8 } else { 128 }).checked_sub(length)?;
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        Some((bits(address) & mask, mask))
    });
    parsed.ok_or_else(|| plan_datafusion_err!("{text:?} is no network: write 10.0.0.0/8"))
}
