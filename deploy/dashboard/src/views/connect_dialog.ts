/** Where the broker is and who asks. */

import { byId, setText } from "../dom";
import { type Options, type Protocol, brokerFault, forget, guess, keep } from "../options";

export class ConnectDialog {
  private readonly dialog = byId<HTMLDialogElement>("connect-dialog");
  private readonly broker = byId<HTMLInputElement>("connect-broker");
  private readonly base = byId<HTMLInputElement>("connect-base");
  private readonly protocol = byId<HTMLSelectElement>("connect-protocol");
  private readonly username = byId<HTMLInputElement>("connect-user");
  private readonly password = byId<HTMLInputElement>("connect-password");
  private readonly remember = byId<HTMLInputElement>("connect-remember");
  private readonly refresh = byId<HTMLInputElement>("connect-refresh");
  private readonly fault = byId("connect-fault");

  constructor(private readonly onChosen: (options: Options) => void) {
    byId("connect-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.choose();
    });
    byId("connect-forget").addEventListener("click", () => {
      forget();
      this.username.value = this.password.value = "";
      this.remember.checked = false;
      setText(this.fault, "Forgotten: nothing of this form is kept in this browser.");
    });
  }

  open(now: Options, fault = ""): void {
    this.broker.value = now.broker || guess();
    this.base.value = now.base;
    this.protocol.value = now.protocol;
    this.username.value = now.username;
    this.password.value = now.password;
    this.remember.checked = now.remember;
    this.refresh.value = String(now.refresh);
    this.say(fault);
    if (!this.dialog.open) this.dialog.showModal();
  }

  private say(fault: string): void {
    setText(this.fault, fault);
    this.broker.toggleAttribute("aria-invalid", false);
  }

  private choose(): void {
    const fault = brokerFault(this.broker.value.trim());
    if (fault) {
      setText(this.fault, fault);
      this.broker.setAttribute("aria-invalid", "true");
      this.broker.focus();
      return;
    }
    const chosen: Options = {
      broker: this.broker.value.trim(),
      base: this.base.value.trim().replace(/\/+$/, "") || "edgenode/v1",
      protocol: this.protocol.value as Protocol,
      username: this.username.value,
      password: this.password.value,
      remember: this.remember.checked,
      refresh: Math.max(0, Number(this.refresh.value) || 0),
    };
    keep(chosen);
    this.dialog.close();
    this.onChosen(chosen);
  }
}
