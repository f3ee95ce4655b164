//! `own-transaction URL open DEPARTURE SEATS | book BOOKING DEPARTURE SELLER SEATS | confirm BOOKING | confirm-all`
//!
//! `confirm-all` tries every held booking and prints the number of each confirmed one, after its commit.

use std::io::Write as _;

use own_transaction::{Desk, Error};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (url, command) = arguments.split_first().ok_or("give a database: sqlite://FILE or postgres://…")?;
    let desk = Desk::open(url).await?;
    match command {
        ["open", departure, seats] => println!("{}", desk.open_departure(departure, seats.parse()?).await?),
        ["book", id, departure, seller, seats] => {
            println!("{}", desk.book(id.parse()?, seller.parse()?, departure, seats.parse()?).await?.order);
        }
        ["confirm", id] => {
            let id: i64 = id.parse()?;
            let bookings = desk.bookings().await?;
            desk.confirm(bookings.iter().find(|booking| booking.id == id).ok_or(Error::Unknown)?).await?;
        }
        ["confirm-all"] => {
            for booking in desk.bookings().await?.iter().filter(|booking| !booking.confirmed) {
                match desk.confirm(booking).await {
                    Ok(()) => writeln!(std::io::stdout(), "{}", booking.id)?,
                    Err(Error::SoldOut) => {}
                    Err(other) => return Err(other.into()),
                }
            }
        }
        _ => return Err("the command must be open, book, confirm or confirm-all".into()),
    }
    desk.close().await;
    Ok(())
}
