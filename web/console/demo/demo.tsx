// /demo: a pretend bank that embeds the real widget the way its README tells a host to: one script, one element.
//
// The people and the numbers are invented. `?customer=Name` plays another customer, so that several can wait at once.

import { render } from "preact";
import "./demo.css";
import { card, home, phone, right, user } from "../../shared/design/icons.ts";
import { Avatar, Icon } from "../../shared/design/parts.tsx";

/** Longest name taken from the address. */
const NAME_CHARS_MAX = 64;
const DEFAULT_NAME = "Amina Wanjiru";

/** Who the page pretends has signed in to the bank. */
export function customerOf(search: string): { id: string; name: string; email: string } {
  const asked = new URLSearchParams(search).get("customer")?.trim().slice(0, NAME_CHARS_MAX);
  const name = asked || DEFAULT_NAME;
  const word = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  const id = `demo-${word || "customer"}`;
  return { id, name, email: `${word || "customer"}@example.com` };
}

const MOVEMENTS = [
  { icon: card, text: "Soko Fresh, Westlands", day: "Sat 21 Nov", amount: "− 2,450.00" },
  { icon: card, text: "Soko Fresh, Westlands", day: "Sat 21 Nov", amount: "− 2,450.00" },
  { icon: home, text: "Rent, Kileleshwa", day: "1 Nov", amount: "− 48,000.00" },
  { icon: phone, text: "M-PESA from Brian Mwangi", day: "31 Oct", amount: "+ 6,200.00" },
  { icon: user, text: "Salary, Tatu Textiles", day: "29 Oct", amount: "+ 142,500.00" },
];

function Bank({ name }: { name: string }) {
  return (
    <div class="bank">
      <aside class="bank-demo" aria-label="About this demo">
        <b>Demo.</b> A pretend bank with the real widget: press Help. Answer in a second window at{" "}
        <a href="/agent" target="_blank" rel="noopener">
          the agent desk
        </a>
        ; listen to it afterwards in{" "}
        <a href="/qa" target="_blank" rel="noopener">
          the call list
        </a>
        .
      </aside>
      <header class="bank-head">
        <span class="bank-name">
          <svg viewBox="0 0 24 24" aria-hidden="true">
            <path d="M12 3v18M12 12 5 19M12 12l7 7M8 21h8" />
          </svg>
          Mzizi Bank
        </span>
        <nav aria-label="Bank">
          <a href="#accounts" aria-current="page">
            Accounts
          </a>
          <a href="#latest">Payments</a>
          <a href="#card">Card</a>
        </nav>
        <span class="bank-user">
          <span class="clip">{name}</span>
          <Avatar name={name} customer />
        </span>
      </header>
      <main class="bank-main">
        <h1 class="visually-hidden">Your accounts</h1>
        <section class="bank-sums" id="accounts" aria-label="Accounts">
          <p>
            <span class="muted">Current account</span>
            <b class="bank-sum">KES 186,240.75</b>
          </p>
          <p>
            <span class="muted">Savings</span>
            <b class="bank-sum bank-sum-second">KES 412,000.00</b>
          </p>
        </section>
        <section class="bank-latest" id="latest" aria-label="Latest movements">
          <h2 class="title-part">Latest</h2>
          <ul>
            {MOVEMENTS.map((one, n) => (
              <li key={n}>
                <span class="bank-icon">
                  <Icon d={one.icon} />
                </span>
                <span>
                  {one.text}
                  <span class="small muted bank-day">{one.day}</span>
                </span>
                <span class="number">{one.amount}</span>
              </li>
            ))}
          </ul>
        </section>
        <aside class="bank-side">
          <section class="bank-card" id="card" aria-label="Card">
            <span>Mzizi Debit</span>
            <span class="bank-card-foot number">
              <span>•••• 4417</span>
              <span>09/28</span>
            </span>
          </section>
          <p class="bank-hint">
            <span>
              <b class="medium">Something wrong with a payment?</b>
              <span class="small muted bank-day">Press Help at the bottom. A person answers.</span>
            </span>
            <Icon d={right} />
          </p>
        </aside>
      </main>
    </div>
  );
}

const customer = customerOf(location.search);
const place = document.getElementById("app");
if (place) render(<Bank name={customer.name} />, place);

// What a host does: the element, what it knows of the customer, and the loader.
const widget = document.createElement("support-widget") as HTMLElement & { customerEmail: string };
widget.setAttribute("user-id", customer.id);
widget.setAttribute("customer-name", customer.name);
widget.setAttribute("data-testid", "widget");
widget.customerEmail = customer.email;
document.body.append(widget);
const loader = document.createElement("script");
loader.src = "/widget/v1.js";
document.head.append(loader);
