import "../../shared/design/tokens.css";
