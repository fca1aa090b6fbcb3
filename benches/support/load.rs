//! The clients. Each role prints one line of numbers, which the bench reads, and nothing else.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::wire::{self, Connection, Location};

/// How long to wait for the head of an answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections opened at a time by [`hold`].
const OPENING: u32 = 64;

/// Plays a role. `arguments` are its name, the location, the target and numbers.
pub(crate) fn run(arguments: &[String]) -> io::Result<()> {
    let [role, location, target, numbers @ ..] = arguments else { return Err(io::Error::other("arguments")) };
    let location: Location = location.parse().map_err(io::Error::other)?;
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match (role.as_str(), &numbers[..]) {
            ("requests", [connections, total]) => requests(location, target, *connections, *total, 200).await,
            ("requests", [connections, total, status]) => {
                requests(location, target, *connections, *total, *status as u16).await
            }
            ("connections", [connections, total]) => connect(location, target, *connections, *total).await,
            ("pair", [count]) => pair(&location, target, *count).await,
            ("document", []) => document(&location, target).await,
            ("lines", []) => lines(&location, target).await,
            ("heads", [count]) => heads(&location, target, *count).await,
            ("leave", []) => leave(&location, target).await,
            ("hold", [count]) => hold(location, target, *count).await,
            _ => Err(io::Error::other(format!("no role {role} with {} numbers", numbers.len()))),
        }
    })
}

/// `total` requests over that many connections, which are answered with `status`: seconds, body bytes.
async fn requests(location: Location, target: &str, connections: u64, total: u64, status: u16) -> io::Result<()> {
    let left = Arc::new(AtomicI64::new(total as i64));
    let bytes = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (location, target, left, bytes) =
            (location.clone(), target.to_owned(), Arc::clone(&left), Arc::clone(&bytes));
        clients.spawn(async move {
            let mut connection = Connection::open(&location, true).await?;
            while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                connection.get(&target).await?;
                expect(connection.head().await?, status)?;
                bytes.fetch_add(connection.skip_body().await?, Ordering::Relaxed);
            }
            Ok::<(), io::Error>(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    print(&[start.elapsed().as_secs_f64(), bytes.load(Ordering::Relaxed) as f64])
}

/// `total` requests from that many clients, each over a new connection: seconds.
async fn connect(location: Location, target: &str, clients: u64, total: u64) -> io::Result<()> {
    let left = Arc::new(AtomicI64::new(total as i64));
    let start = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (location, target, left) = (location.clone(), target.to_owned(), Arc::clone(&left));
        running.spawn(async move {
            while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                let mut connection = Connection::open(&location, false).await?;
                connection.get(&target).await?;
                expect_ok(connection.head().await?)?;
                connection.skip_body().await?;
            }
            Ok::<(), io::Error>(())
        });
    }
    while let Some(client) = running.join_next().await {
        client??;
    }
    print(&[start.elapsed().as_secs_f64()])
}

/// How many connections [`pair`] has. Each answer waits for a tick, so that few are under way.
const PAIRED: u64 = 16;

/// Requests for two targets with a bar between them, `count` for each, in an order that looks random: of each the median, the
/// 90th and the 99th percentile in microseconds, and the largest distance of the two cumulative distributions.
async fn pair(location: &Location, targets: &str, count: u64) -> io::Result<()> {
    let mut clients = JoinSet::new();
    for number in 0..PAIRED {
        let (location, targets) = (location.clone(), targets.to_owned());
        clients.spawn(async move { pair_of_one(&location, &targets, count / PAIRED, number).await });
    }
    let mut delays = [Vec::new(), Vec::new()];
    while let Some(client) = clients.join_next().await {
        let of_one = client??;
        delays.iter_mut().zip(of_one).for_each(|(all, delays)| all.extend(delays));
    }
    delays.iter_mut().for_each(|delays| delays.sort_by(f64::total_cmp));
    let share =
        |delays: &[f64], value: f64| delays.partition_point(|delay| *delay <= value) as f64 / delays.len() as f64;
    let all = delays.iter().flatten();
    let distance = all.map(|value| (share(&delays[0], *value) - share(&delays[1], *value)).abs()).fold(0.0, f64::max);
    let at = |of_one: &[f64], share: f64| of_one[((of_one.len() - 1) as f64 * share) as usize];
    let mut numbers: Vec<f64> = delays.iter().flat_map(|one| [0.5, 0.9, 0.99].map(|share| at(one, share))).collect();
    numbers.push(distance);
    print(&numbers)
}

/// The delays of one connection, for each of the two targets.
async fn pair_of_one(location: &Location, targets: &str, count: u64, number: u64) -> io::Result<[Vec<f64>; 2]> {
    let targets: Vec<&str> = targets.split('|').collect();
    let mut connection = Connection::open(location, true).await?;
    let mut delays = [Vec::new(), Vec::new()];
    let mut state = 0x2545_f491_4f6c_dd1d_u64.wrapping_mul(number + 1) | 1;
    while delays.iter().any(|of_one| of_one.len() < count as usize) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let wanted = (state >> 40) as usize % 2;
        let at = if delays[wanted].len() < count as usize { wanted } else { 1 - wanted };
        let start = Instant::now();
        connection.get(targets[at]).await?;
        expect(connection.head().await?, 404)?;
        connection.skip_body().await?;
        delays[at].push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(delays)
}

/// One request: seconds to the first and to the last byte of the body, and how many there were.
async fn document(location: &Location, target: &str) -> io::Result<()> {
    let mut connection = Connection::open(location, true).await?;
    let start = Instant::now();
    connection.get(target).await?;
    expect_ok(connection.head().await?)?;
    let mut bytes = connection.body().await?.map_or(0, <[u8]>::len) as u64;
    let first = start.elapsed();
    bytes += connection.skip_body().await?;
    print(&[first.as_secs_f64(), start.elapsed().as_secs_f64(), bytes as f64])
}

/// The delay of each event since the time in it: median, 99th percentile and maximum, in microseconds.
async fn lines(location: &Location, target: &str) -> io::Result<()> {
    let mut connection = Connection::open(location, true).await?;
    connection.get(target).await?;
    expect_ok(connection.head().await?)?;
    let mut delays = Vec::new();
    let mut line = Vec::new();
    while let Some(part) = connection.body().await? {
        let now = wire::now();
        line.extend_from_slice(part);
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let text: Vec<u8> = line.drain(..=end).collect();
            let at = wire::find(&text, br#""timeNano":"#).ok_or_else(|| io::Error::other("no time in the event"))?;
            let digits: String =
                text[at + 11..].iter().map(|b| char::from(*b)).take_while(char::is_ascii_digit).collect();
            delays.push(now.saturating_sub(digits.parse().unwrap_or_default()) as f64 / 1e3);
        }
    }
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    print(&[at(0.5), at(0.99), at(1.0)])
}

/// The time from a request on a new connection to the head of its answer, `count` times in turn: median and maximum, in
/// microseconds.
async fn heads(location: &Location, target: &str, count: u64) -> io::Result<()> {
    let mut delays = Vec::new();
    for _ in 0..count {
        let mut connection = Connection::open(location, false).await?;
        let start = Instant::now();
        connection.get(target).await?;
        expect_ok(connection.head().await?)?;
        delays.push(start.elapsed().as_secs_f64() * 1e6);
    }
    delays.sort_by(f64::total_cmp);
    print(&[delays[delays.len() / 2], delays[delays.len() - 1]])
}

/// Opens a stream and leaves it: the time at which it left.
async fn leave(location: &Location, target: &str) -> io::Result<()> {
    let mut connection = Connection::open(location, false).await?;
    connection.get(target).await?;
    expect_ok(connection.head().await?)?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let left = wire::now();
    drop(connection);
    writeln!(io::stdout(), "{left}")
}

/// Opens `count` streams and holds them until standard input ends: the numbers answered with 200, 503 and otherwise.
async fn hold(location: Location, target: &str, count: u64) -> io::Result<()> {
    let mut open = Vec::new();
    let (mut refused, mut other) = (0_u32, 0_u32);
    let mut opening = JoinSet::new();
    for started in 0..count + u64::from(OPENING) {
        // Whoever leaves as many without an answer will leave them all.
        if started < count && other < OPENING {
            let (location, target) = (location.clone(), target.to_owned());
            opening.spawn(async move {
                let attempt = async {
                    let mut connection = Connection::open(&location, false).await?;
                    connection.get(&target).await?;
                    Ok::<_, io::Error>((connection.head().await?, connection))
                };
                tokio::time::timeout(HEAD_TIMEOUT, attempt).await.unwrap_or_else(|late| Err(late.into()))
            });
        }
        if opening.len() >= OPENING as usize || started >= count {
            match opening.join_next().await {
                Some(Ok(Ok((200, connection)))) => open.push(connection),
                Some(Ok(Ok((503, _)))) => refused += 1,
                Some(_) => other += 1,
                None => {}
            }
        }
    }
    print(&[open.len() as f64, f64::from(refused), f64::from(other)])?;
    // Reading blocks this thread, and nothing else is to run on it.
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(open);
    Ok(())
}

/// Anything but 200 ends the bench.
fn expect_ok(status: u16) -> io::Result<()> {
    expect(status, 200)
}

/// Any other status ends the bench.
fn expect(status: u16, expected: u16) -> io::Result<()> {
    if status == expected { Ok(()) } else { Err(io::Error::other(format!("status {status}"))) }
}

/// Prints the numbers of a role.
fn print(numbers: &[f64]) -> io::Result<()> {
    let words: Vec<String> = numbers.iter().map(f64::to_string).collect();
    let mut out = io::stdout();
    writeln!(out, "{}", words.join(" "))?;
    out.flush()
}
