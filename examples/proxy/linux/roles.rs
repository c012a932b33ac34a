//! The three processes that one turn consists of: the proxy, its upstream, and all clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::linux::Result;
use crate::linux::control::Orders;
use crate::linux::load::Load;
use crate::linux::mark::Mark;
use crate::linux::server::Proxy;
use crate::linux::settings::Settings;
use crate::linux::source::{Fresh, Kept, Pooled, Source};
use crate::linux::upstream;
use crate::linux::way::Way;

pub(crate) const UPSTREAM: &str = "upstream";
pub(crate) const PROXY: &str = "proxy";
pub(crate) const CLIENTS: &str = "clients";

/// Whether these are the words of a part, and not of a user.
pub(crate) fn is_part(words: &[String]) -> bool {
    words.first().is_some_and(|word| [UPSTREAM, PROXY, CLIENTS].contains(&&**word))
}

/// Plays a part, until the process that started this one closes the line.
pub(crate) fn play(words: &[String]) -> Result<()> {
    let orders = Orders::take()?;
    match words.iter().map(|word| &**word).collect::<Vec<_>>()[..] {
        [UPSTREAM] => echo(&orders),
        [PROXY, way, budget, port] => {
            let (settings, upstream) = (Settings::new(budget.parse()?), local(port)?);
            match Way::named(way).ok_or("there is no such way")? {
                Way::Pool => proxy(&orders, Proxy::new(Pooled::new(&settings)?, settings, upstream)),
                Way::BytesMut => proxy(&orders, Proxy::new(Kept, settings, upstream)),
                Way::Vec => proxy(&orders, Proxy::new(Fresh, settings, upstream)),
            }
        }
        [CLIENTS, port, connections, slow] => clients(&orders, local(port)?, connections.parse()?, slow.parse()?),
        _ => Err(format!("no such part: {words:?}").into()),
    }
}

fn local(port: &str) -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, port.parse()?).into())
}

fn echo(orders: &Orders) -> Result<()> {
    let runtime = Runtime::new()?;
    let listener = runtime.block_on(upstream::listen())?;
    orders.answer(listener.local_addr()?.port())?;
    runtime.block_on(upstream::serve(listener));
    Err("the upstream accepts nothing any more".into())
}

/// Answers each order with how things stand.
fn proxy<S: Source>(orders: &Orders, proxy: Proxy<S>) -> Result<()> {
    let runtime = Runtime::new()?;
    let proxy = Arc::new(proxy);
    let listener = runtime.block_on(async { proxy.listen() })?;
    orders.answer(listener.local_addr()?.port())?;
    runtime.spawn(proxy.clone().serve(listener));
    loop {
        orders.next()?;
        orders.answer(Mark::now(&proxy))?;
    }
}

/// Orders: seconds of traffic, then anything to end all connections.
fn clients(orders: &Orders, to: SocketAddr, connections: usize, slow: usize) -> Result<()> {
    let runtime = Runtime::new()?;
    let mut load = runtime.block_on(Load::connect(to, connections, slow))?;
    orders.answer("connected")?;
    let time = Duration::from_secs_f64(orders.next()?.parse()?);
    orders.answer(runtime.block_on(load.run(time)))?;
    orders.next()?;
    orders.answer(runtime.block_on(load.finish()))?;
    // Ends when the line does.
    orders.next().map(drop)
}
